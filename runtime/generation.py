"""Continues real prompts, given as token ids, until an end token."""

from collections.abc import Sequence
from pathlib import Path

from ..csrc import PolicySpec, Scheduler, StepPlan, parse_policy
from ..errors import InvalidScenario, OverBudget
from ..experiment import Experiment, Limits, build_experiment
from ..workloads import ModelSpec, Trace, load_model, read_model_folder
from .attention.choice import choose_attention
from .engine.executor import Executor
from .machine import open_machine
from .memory.kv_pool import OutOfVram
from .replay.session import Session, open_session


def generate(
    prompts: Sequence[Sequence[int]],
    model: str | Path,
    *,
    max_new_tokens: int,
    eos_token: int | None = None,
    policy: str = "skyline",
    device: str = "auto",
    attention: str = "auto",
    limits: Limits | None = None,
    temperature: float = 0.0,
    seed: int = 0,
) -> list[list[int]]:
    """Continue each prompt by at most `max_new_tokens` tokens; an end token is part of the output.

    Args:
        prompts: token ids, at least one in each prompt.
        model: a Hugging Face folder, or the name of a shape; the weights of a shape are random.
        eos_token: ends an output; None: only `max_new_tokens` does.
        policy: as `parse_policy` reads it. It must not need true output lengths.
        temperature: 0: greedy; else tokens are drawn with `seed`.

    Returns:
        The output tokens of each prompt.

    Raises:
        WarpGroupError: a name is unknown, the model cannot be used, or a prompt does not fit.
    """
    chosen = parse_policy(policy)
    if chosen.build().sees_lengths:
        raise InvalidScenario(f"policy '{policy}' needs true output lengths, which only a trace has: choose another")
    machine = open_machine(device)
    spec, folder = _model(model)
    _check_tokens(prompts, spec)
    backend = choose_attention(attention, machine, spec)
    trace = Trace.of_rows([(0, len(prompt), max_new_tokens) for prompt in prompts], max_new_tokens=max_new_tokens)
    wanted = limits or Limits(block_tokens=max(backend.block_multiple, 16))
    experiment = build_experiment(trace, spec, machine.spec, limits=wanted, seed=seed)
    session = open_session(
        experiment, [chosen], machine, attention=backend, weights_folder=folder, temperature=temperature
    )
    try:
        return _Generation(session, chosen, prompts, eos_token).run()
    finally:
        session.close()


def _model(model: str | Path) -> tuple[ModelSpec, Path | None]:
    folder = Path(model)
    return (read_model_folder(folder), folder) if folder.is_dir() else (load_model(str(model)), None)


def _check_tokens(prompts: Sequence[Sequence[int]], spec: ModelSpec) -> None:
    for number, prompt in enumerate(prompts):
        if not all(0 <= token < spec.vocab for token in prompt):
            raise InvalidScenario(
                f"prompt {number} has a token id outside 0 to {spec.vocab - 1}, the vocabulary of {spec.name}: use its "
                "tokenizer"
            )


class _Generation:
    """Runs one step after another: an end token that a step draws decides what the next step computes."""

    def __init__(
        self, session: Session, policy: PolicySpec, prompts: Sequence[Sequence[int]], eos_token: int | None
    ) -> None:
        experiment: Experiment = session.experiment
        self._trace, self._eos = experiment.trace, eos_token
        self._engine = session.engine
        self._scheduler: Scheduler = experiment.scheduler(policy)
        self._executor = Executor.for_run(
            session.engine, experiment, self._scheduler.policy, fixed_bytes=session.fixed_bytes
        )
        log = self._executor.log
        for start, prompt in zip(log.starts, prompts, strict=True):
            log.tokens[start : start + len(prompt)] = prompt
        self._made: dict[int, int] = {}
        self._now_ns = 0

    def run(self) -> list[list[int]]:
        """All outputs, in the order of the prompts."""
        for request, prompt_tokens in enumerate(self._trace.prompt_tokens.tolist()):
            submission = self._scheduler.submit(
                request, arrival_ns=0, prompt_tokens=prompt_tokens, max_new_tokens=self._trace.max_new_tokens
            )
            if not submission:
                raise OverBudget(f"prompt {request}: {submission.reason}")
        while self._scheduler.waiting or self._scheduler.running:
            self._step(self._scheduler.plan(self._now_ns))
        return [self._executor.log.output(request, self._made[request]).tolist() for request in range(len(self._trace))]

    def _step(self, plan: StepPlan) -> None:
        for failed in plan.failed:
            raise OverBudget(
                f"prompt {failed.id} and its output need {failed.needed_bytes:,} bytes, more than the device has: "
                "lower max_new_tokens"
            )
        step = self._executor.stager.stage(plan, self._engine.turn_slab())
        try:
            if plan.horizon == 0:
                self._executor.rest(step)
                self._now_ns = max(
                    plan.wake_ns, self._now_ns
                )  # no more requests come, so an incomplete batch need not wait
                return
            launched = self._executor.launch(step)
        except OutOfVram:
            self._scheduler.commit_oom()
            return
        drawn = launched.tokens.cpu().numpy()[: len(launched.log_places)]
        self._executor.log.tokens[launched.log_places] = drawn
        finished = {*launched.finished, *launched.requests[drawn == self._eos].tolist()} - self._made.keys()
        for request in finished:
            self._made[request] = self._executor.generated(request)
        self._scheduler.commit(1, sorted(finished))
        self._executor.retire(sorted(finished))
