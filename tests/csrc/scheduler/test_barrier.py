"""count-continuous(barrier=1): batches like static ones, but without their padding."""

from hypothesis import given, settings
from hypothesis import strategies as st
from support.driving import SECOND, Row, drive, memory

from warpgroup.csrc import Scheduler, StepPlan, parse_policy

STEP_TOKENS = 256
AMPLE = memory(8_000)

rows = st.lists(
    st.builds(Row, arrival_s=st.integers(0, 60), prompt=st.integers(1, 400), output=st.integers(1, 40)),
    min_size=1,
    max_size=40,
)


def admissions(rows: list[Row], n: int) -> dict[int, int]:
    """The second at which each request is admitted, by the simplest loop over steps of one second."""
    queue = sorted(range(len(rows)), key=lambda i: rows[i].arrival_s)
    admitted: dict[int, int] = {}
    left: dict[int, tuple[int, int]] = {}  # running requests: prompt tokens to compute, output tokens to make
    now, open_ = 0, True
    while queue or left:
        open_ = open_ or not left
        waiting = [request for request in queue if rows[request].arrival_s <= now]
        while open_ and waiting and sum(tokens_of_step(left).values()) < STEP_TOKENS and len(left) < n:
            request = waiting.pop(0)
            queue.remove(request)
            admitted[request] = now
            left[request] = (rows[request].prompt, rows[request].output)
        open_ = open_ and len(waiting) > 0 and len(left) < n
        for request, tokens in tokens_of_step(left).items():
            prompt, output = left[request]
            left[request] = (max(prompt - tokens, 0), output - (prompt <= tokens))
        left = {request: each for request, each in left.items() if each[1] > 0}
        now += 1
    return admitted


def tokens_of_step(left: dict[int, tuple[int, int]]) -> dict[int, int]:
    tokens: dict[int, int] = {}
    for request, (prompt, _) in left.items():
        tokens[request] = min(max(prompt, 1), STEP_TOKENS - sum(tokens.values()))
    return tokens


@given(rows=rows, n=st.integers(1, 12), macro=st.booleans())
@settings(max_examples=200, deadline=None)
def test_requests_are_admitted_as_the_simplest_loop_admits_them(rows, n, macro):
    outcome = drive(f"count-continuous(n={n}, barrier=1)", rows, AMPLE, max_new=40, macro=macro)
    assert outcome.admitted_s == admissions(rows, n)


@given(rows=rows, n=st.integers(1, 12))
@settings(max_examples=100, deadline=None)
def test_requests_join_only_a_batch_that_is_still_being_formed(rows, n):
    outcome = drive(f"count-continuous(n={n}, barrier=1)", rows, AMPLE, max_new=40, macro=False)
    begun: set[int] = set()
    only_tokens_stopped_it = False
    for step, admitted, prefill, decode in outcome.plans:
        running = {request for request in begun if outcome.finished[request] > step}
        if running and admitted:
            assert only_tokens_stopped_it
        begun |= set(admitted)
        full = sum(tokens for *_, tokens in prefill) + len(decode) == STEP_TOKENS
        only_tokens_stopped_it = full and (only_tokens_stopped_it or not running)


def scheduler(n: int, *prompts: int) -> Scheduler:
    policy = parse_policy(f"count-continuous(n={n}, barrier=1)").build()
    target = Scheduler(policy, AMPLE, max_seqs=64, step_tokens=STEP_TOKENS)
    submit(target, *enumerate(prompts))
    return target


def submit(target: Scheduler, *prompts: tuple[int, int]) -> None:
    for request, prompt in prompts:
        assert target.submit(request, arrival_ns=0, prompt_tokens=prompt, max_new_tokens=100)


def facts(plan: StepPlan) -> tuple[list[int], str]:
    return plan.admitted, plan.blocked_by.name


def test_a_place_that_becomes_free_stays_so_until_the_batch_has_ended():
    target = scheduler(2, 10, 10, 10)
    assert facts(target.plan(0)) == ([0, 1], "count")
    target.commit(1, [0])
    assert facts(target.plan(SECOND)) == ([], "count")
    target.commit(1, [1])
    assert facts(target.plan(2 * SECOND)) == ([2], "none")


def test_a_request_that_ends_gives_its_memory_back_before_the_batch_ends():
    target = scheduler(2, 10, 10)
    target.plan(0)
    target.commit(1, [0])
    assert (target.running, target.used_blocks) == (1, 1)


def test_a_batch_that_was_formed_from_an_empty_queue_is_not_joined_later():
    target = scheduler(4, 10)
    target.plan(0)
    target.commit(1, [])
    submit(target, (1, 10))
    assert facts(target.plan(SECOND)) == ([], "count")


def test_a_request_that_only_the_step_tokens_kept_out_joins_in_the_next_step():
    target = scheduler(3, STEP_TOKENS, 10, 10, 10)
    assert facts(target.plan(0)) == ([0], "tokens")
    target.commit(1, [])
    assert facts(target.plan(SECOND)) == ([1, 2], "count")


def test_a_batch_that_ran_out_of_memory_admits_no_request_again():
    target = scheduler(3, 10, 10, 10)
    target.plan(0)
    target.commit_oom()
    plan = target.plan(SECOND)
    assert ([e.id for e in plan.evicted], *facts(plan)) == ([2], [], "count")
    target.commit(1, [0])
    assert facts(target.plan(2 * SECOND)) == ([], "count")
