"""A workload model fitted to a trace, and its distance from the trace."""

import msgspec
import numpy as np

from ...errors import InvalidTrace
from .. import streams
from ..models import WorkloadModel
from ..models.length_mixture import LengthMixture
from ..models.session_model import DrawnSessions, SessionModel, draw_sessions
from ..streams import stream
from ..trace import Column, Trace, Turns, starts_ns
from .arrival_fit import ArrivalFit, fit_arrivals
from .distances import Sample, ks_distance, spearman
from .mixture_fit import MOST_COMPONENTS, fit_mixtures
from .session_fit import SessionTable, fit_sessions

_CHECKED = 200_000  # requests drawn from the model to measure distances; chance alone gives at most 0.004
_CHECKED_SESSIONS = 2_000  # or about this many sessions, if they are fewer requests: at most 0.04 by chance


class FitReport(msgspec.Struct, frozen=True):
    """How well a model fits its trace.

    Attributes:
        requests: the number of requests of the trace.
        sessions: the number of sessions of the trace; 0 where no request waits for another.
        fitted: the number of requests that the mixture was fitted to. It is a mixture of prompt and output, or for
            sessions of growth and output of turns that are not early.
        components: the number of components of the mixture.
        bic: the Bayesian information criterion by number of components; lower is better.
        ks: Kolmogorov-Smirnov distances of `prompt`, `output` and `total` tokens; for sessions also of `turns`,
            `first_prompt`, `growth` and `think_s`.
        spearman: the rank correlation of prompt and output, (trace, model); None where lengths do not vary.
        clipped: the share of the model's requests that were clipped to the longest of the trace.
        arrivals: None where the trace has no times.
    """

    requests: int
    sessions: int
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
        name: the name of the model; default: that of the trace.
        components: the number of components of the mixture, 1 or more; default: 1 to 6, the number with the lowest BIC.

    Raises:
        InvalidTrace: `components` is more than the number of different requests.
    """
    table = _sessions_of(trace) if trace.is_closed_loop else None
    lengths = table.growth(seed) if table else (trace.prompt_tokens, trace.output_tokens)
    sizes = range(1, MOST_COMPONENTS + 1) if components is None else range(components, components + 1)
    fits = fit_mixtures(*lengths, sizes, seed)
    if not fits:
        raise InvalidTrace(f"{trace.name}: components is {components}, expected 1 to the number of different requests")
    size = min(fits, key=lambda k: fits[k].bic)
    mixture = fits[size].mixture
    sessions = fit_sessions(table, mixture, seed) if table else None
    clip = (int(trace.prompt_tokens.max()), int(trace.output_tokens.max()))
    made = _imitation(sessions or mixture, float(table.turns.mean()) if table else 1.0, clip, seed)
    ks = _distances(trace, table, made)
    arrivals = fit_arrivals(starts_ns(trace), seed) if trace.has_times else None
    model = WorkloadModel(
        name=name or trace.name,
        clip=clip,
        max_new_tokens=trace.max_new_tokens,
        mixture=None if sessions else mixture,
        sessions=sessions,
        arrivals=arrivals.chosen.process if arrivals else None,
        ks=ks,
        source="; ".join([f"fitted to {len(trace):,} requests of {trace.source.path}", *trace.source.transforms]),
        notes="; ".join(arrivals.chosen.remarks) if arrivals else "no arrival times",
    )
    correlation = (
        spearman(trace.prompt_tokens, trace.output_tokens),
        spearman(made.prompt_tokens, made.output_tokens),
    )
    report = FitReport(
        requests=len(trace),
        sessions=len(table.begins) if table else 0,
        fitted=fits[size].fitted,
        components=size,
        bic={k: round(found.bic, 1) for k, found in fits.items()},
        ks=ks,
        spearman=correlation,
        clipped=float(made.clipped.mean()),
        arrivals=arrivals,
    )
    return model, report


def _imitation(model: LengthMixture | SessionModel, turns: float, clip: tuple[int, int], seed: int) -> DrawnSessions:
    """Requests drawn from a model. `turns` is the mean number of turns of a session."""
    if isinstance(model, SessionModel):
        return draw_sessions(model, min(_CHECKED, round(_CHECKED_SESSIONS * turns)), clip, seed)
    prompt, output, clipped = model.draw(_CHECKED, clip, stream(seed, streams.FIT_CHECK))
    return DrawnSessions(prompt, output, Turns.none(_CHECKED), clipped, np.zeros(_CHECKED, dtype=np.bool_))


def _distances(trace: Trace, table: SessionTable | None, made: DrawnSessions) -> dict[str, float]:
    real, drawn = (_lengths(each.prompt_tokens, each.output_tokens) for each in (trace, made))
    if table:
        real |= table.samples()
        drawn |= _sessions_of(made).samples()
    return {
        kind: round(ks_distance(real[kind], drawn[kind]), 4) for kind in real if len(real[kind]) and len(drawn[kind])
    }


def _sessions_of(requests: Trace | DrawnSessions) -> SessionTable:
    turns = requests.turns or Turns.none(len(requests.prompt_tokens))
    return SessionTable.of(requests.prompt_tokens, requests.output_tokens, turns)


def _lengths(prompt: Column, output: Column) -> dict[str, Sample]:
    return {"prompt": prompt, "output": output, "total": prompt + output}
