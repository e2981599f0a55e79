"""A minimal executor: every step takes one second. Checks at every step what must hold for every policy."""

from dataclasses import dataclass, field

from warpgroup.csrc import MemoryModel, ModelGeometry, Scheduler, parse_policy

SECOND = 10**9
TINY = ModelGeometry(layers=2, hidden=64, query_heads=4, kv_heads=2, head_dim=16, intermediate=128, vocab=256)


def memory(blocks: int, *, block_tokens: int = 16, step_tokens: int = 256, max_seqs: int = 64) -> MemoryModel:
    return MemoryModel.for_blocks(
        TINY,
        blocks=blocks,
        context_bytes=0,
        block_tokens=block_tokens,
        step_tokens=step_tokens,
        max_seqs=max_seqs,
    )


@dataclass(frozen=True)
class Row:
    """A request: when it comes (s), its prompt and the output that it will turn out to have."""

    arrival_s: int
    prompt: int
    output: int


@dataclass
class Outcome:
    plans: list[tuple[object, ...]] = field(default_factory=list)
    finished: dict[int, int] = field(default_factory=dict)  # request -> steps done
    admitted_s: dict[int, int] = field(default_factory=dict)
    rejected: dict[int, str] = field(default_factory=dict)
    failed: set[int] = field(default_factory=set)
    aborted: set[int] = field(default_factory=set)
    preemptions: int = 0
    ooms: int = 0
    computed: int = 0
    recomputed: int = 0
    steps: int = 0
    plan_hash: int = 0
    running_steps: int = 0
    running_max: int = 0
    peak_bytes: int = 0


def drive(
    policy: str,
    rows: list[Row],
    pool: MemoryModel,
    *,
    max_new: int,
    max_seqs: int = 64,
    step_tokens: int = 256,
    macro: bool = True,
    abort_at: dict[int, int] | None = None,
    swap_bytes_s: int = 10**12,
) -> Outcome:
    """Run `rows` to the end. `abort_at`: request -> the plan (counted from 0) at which it is aborted."""
    built = parse_policy(policy).build()
    scheduler = Scheduler(
        built,
        pool,
        max_seqs=max_seqs,
        step_tokens=step_tokens,
        swap_bytes_s=swap_bytes_s,
        prefill_tokens_s=10_000,
    )
    outcome = Outcome()
    generated: dict[int, int] = {}
    coming = sorted(range(len(rows)), key=lambda i: rows[i].arrival_s)
    now_s, plans = 0, 0
    while True:
        while coming and rows[coming[0]].arrival_s <= now_s:
            request = coming.pop(0)
            row = rows[request]
            submission = scheduler.submit(
                request,
                arrival_ns=row.arrival_s * SECOND,
                prompt_tokens=row.prompt,
                max_new_tokens=max_new,
                output_tokens=row.output if built.sees_lengths else 0,
            )
            if not submission:
                outcome.rejected[request] = submission.reason
        for request, at in (abort_at or {}).items():
            if at == plans and scheduler.abort(request):
                outcome.aborted.add(request)
                generated.pop(request, None)
        plan = scheduler.plan(now_s * SECOND)
        plans += 1
        for evicted in plan.evicted:
            outcome.preemptions += 1
            outcome.recomputed += evicted.lost_tokens
            generated.pop(evicted.id, None)
        for failed in plan.failed:
            outcome.failed.add(failed.id)
            generated.pop(failed.id, None)
        for request in plan.admitted:
            outcome.admitted_s.setdefault(request, now_s)
        if plan.horizon == 0:
            wake = [rows[coming[0]].arrival_s] if coming else []
            wake += [-(-plan.wake_ns // SECOND)] if plan.wake_ns >= 0 else []
            if not wake:
                assert scheduler.waiting == 0, "requests wait and nothing will ever happen"
                break
            now_s = max(min(wake), now_s)
            continue
        outcome.peak_bytes = max(outcome.peak_bytes, plan.predicted_bytes)
        if plan.predicted_bytes > pool.budget_bytes:
            outcome.ooms += 1
            scheduler.commit_oom()
            now_s += 1
            continue
        now_s = _commit(scheduler, plan, rows, coming, generated, outcome, now_s, macro)
    assert scheduler.running == 0
    assert scheduler.used_blocks == 0
    assert scheduler.reserved_blocks == 0
    assert scheduler.host_bytes == 0
    outcome.plan_hash = scheduler.plan_hash
    ended = set(outcome.finished) | set(outcome.rejected) | outcome.failed | outcome.aborted
    assert ended == set(range(len(rows)))
    return outcome


def _commit(scheduler, plan, rows, coming, generated, outcome, now_s, macro):
    for joined in plan.joined:
        generated[joined.id] = joined.generated - 1  # this step makes one more
    moving = {*plan.decode, *(joined.id for joined in plan.joined)} & generated.keys()
    alive = {request: rows[request].output - generated[request] for request in moving}
    steps = min([plan.horizon, *alive.values()]) if macro else 1
    if macro and coming:
        steps = min(steps, max(rows[coming[0]].arrival_s - now_s, 1))
    for request in moving:
        generated[request] += steps
    finished = sorted(request for request, left in alive.items() if left == steps)
    facts = scheduler.commit(steps, finished)
    outcome.steps += steps
    outcome.plans.append(
        (
            plan.step,
            tuple(plan.admitted),
            tuple((c.id, c.start, c.tokens) for c in plan.prefill),
            tuple(plan.decode),
        )
    )
    outcome.running_steps += facts.running * steps
    outcome.running_max = max(outcome.running_max, facts.running)
    outcome.computed += plan.work.prefill_tokens + plan.work.decode_rows * steps - plan.work.padding_tokens * steps
    for request in finished:
        outcome.finished[request] = outcome.steps
        del generated[request]
    return now_s + steps
