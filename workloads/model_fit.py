"""A workload model from a trace, and how near it comes."""

import msgspec

from ..errors import InvalidTrace
from . import streams
from .arrival_fit import ArrivalFit, fit_arrivals
from .distances import ks_distance, spearman
from .mixture_fit import MOST_COMPONENTS, fit_mixtures
from .streams import stream
from .trace import Trace
from .workload_model import WorkloadModel

_CHECKED = 200_000  # requests drawn from the model for its distances; by chance alone they are at most 0.004


class FitReport(msgspec.Struct, frozen=True):
    """How near a model is to its trace.

    Attributes:
        requests: of the trace.
        fitted: how many of them the mixture was fitted to.
        components: how many it has.
        bic: Bayesian information criterion by the number of components; less is better.
        ks: Kolmogorov distances of `prompt`, `output` and `total` tokens.
        spearman: rank correlation of prompt and output, (trace, model); None where lengths do not vary.
        clipped: share of the model's requests that are cut to the longest of the trace.
        arrivals: None where the trace has no times.
    """

    requests: int
    fitted: int
    components: int
    bic: dict[int, float]
    ks: dict[str, float]
    spearman: tuple[float | None, float | None]
    clipped: float
    arrivals: ArrivalFit | None


def fit(
    trace: Trace, *, name: str | None = None, components: int | None = None, seed: int = 0
) -> tuple[WorkloadModel, FitReport]:
    """Fit lengths and arrivals. The same arguments give the same model.

    Args:
        name: of the model; default: the trace's.
        components: of the mixture, 1 or more; default: up to 6, as many as the information criterion justifies.

    Raises:
        InvalidTrace: the trace has fewer different requests than components are asked for.
    """
    sizes = range(1, MOST_COMPONENTS + 1) if components is None else range(components, components + 1)
    fits = fit_mixtures(trace.prompt_tokens, trace.output_tokens, sizes, seed)
    if not fits:
        raise InvalidTrace(f"{trace.name}: components is {components}, expected 1 to the number of different requests")
    size = min(fits, key=lambda k: fits[k].bic)
    mixture = fits[size].mixture
    clip = (int(trace.prompt_tokens.max()), int(trace.output_tokens.max()))
    prompt, output, clipped = mixture.draw(_CHECKED, clip, stream(seed, streams.FIT_CHECK))
    pairs = {
        "prompt": (trace.prompt_tokens, prompt),
        "output": (trace.output_tokens, output),
        "total": (trace.prompt_tokens + trace.output_tokens, prompt + output),
    }
    ks = {kind: round(ks_distance(*pair), 4) for kind, pair in pairs.items()}
    arrivals = fit_arrivals(trace.arrival_ns, seed) if trace.has_times else None
    model = WorkloadModel(
        name=name or trace.name,
        mixture=mixture,
        clip=clip,
        max_new_tokens=trace.max_new_tokens,
        arrivals=arrivals.chosen.process if arrivals else None,
        ks=ks,
        source="; ".join([f"fitted to {len(trace):,} requests of {trace.source.path}", *trace.source.transforms]),
        notes="; ".join(arrivals.chosen.remarks) if arrivals else "no arrival times",
    )
    correlation = (spearman(trace.prompt_tokens, trace.output_tokens), spearman(prompt, output))
    report = FitReport(
        requests=len(trace),
        fitted=fits[size].fitted,
        components=size,
        bic={k: round(found.bic, 1) for k, found in fits.items()},
        ks=ks,
        spearman=correlation,
        clipped=clipped / _CHECKED,
        arrivals=arrivals,
    )
    return model, report
