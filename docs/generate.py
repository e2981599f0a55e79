"""Write what comes from code: policies.md from the catalogue, glossary.md from the metrics, and the table of import
orders in architecture.md from the test that keeps them.

Command, in a clone with WarpGroup installed: python docs/generate.py
"""

import ast
import textwrap
from pathlib import Path

from warpgroup.csrc import PolicyInfo, policy_catalogue
from warpgroup.reports.comparison.glossary import GLOSSARY

DOCS = Path(__file__).parent
IMPORT_RULES = DOCS.parent / "tests" / "architecture" / "test_imports.py"
WIDTH = 120
TABLE_START, TABLE_END = "<!-- made by docs/generate.py: start -->\n", "<!-- made by docs/generate.py: end -->\n"

POLICIES_HEAD = """\
# Policies

<!-- This page is made by docs/generate.py from the policy catalogue: change the catalogue, not this page. -->

A batching policy decides which waiting requests join the batch, in which order, and which request leaves if memory runs
out. All policies run in the same C++ scheduler and are built from the same switches, so two policies next
to each other on this page differ in few switches.

`warpgroup policies` prints this catalogue. Set parameters in parentheses:

```bash
warpgroup policies
warpgroup trace generate azure-conv -o chat.parquet --requests 100
warpgroup compare --trace chat.parquet --policies 'paged,ffd(margin=0.01,age_s=5)' --out answer
```

A count policy without a count runs twice: with n = 32, and with its best count. The best count is searched on the same
trace, among the counts that never run out of memory.

If there is more to do than memory allows, the core gives up in this order:

1. It admits fewer requests.
2. It prefills in smaller chunks.
3. It evicts the request that is cheapest to restore. The cache is swapped to host memory if that is faster than
   computing it again.
4. With `--max-wait`, it rejects requests that would wait for too long. Before that, it tells submitters the expected
   wait.

Every such event is in `events.parquet`.

`ffd-static`, `first-fit` and `ffd` are [bin packing](concepts/first_fit_decreasing.md). `skyline` and `oracle` are
WarpGroup's own. The others stand for the policies of engines and papers.

Each section has the admission formula. Its words are:

| word | meaning |
|---|---|
| `pool` | all blocks of the KV pool |
| `blocks(n)` | blocks that hold n tokens |
| `used`, `held` | blocks that the running requests have taken |
| `reserved` | sum of the peaks that are reserved for the running requests, in blocks |
| `running`, `waiting` | number of requests in the batch, and in the queue |
| `tokens` | prompt and output tokens that a request holds now |
| `alive(t)` | requests that will still run t steps from now, as predicted |
| `generated` | output tokens that a request has made |
"""

USE = {
    "count-static": "As the classic baseline. It shows what padding and waiting for the longest request cost.",
    "ffd-static": "For offline work, if all requests are there from the start and nothing may be preempted.",
    "count-continuous": "As the baseline of iteration-level batching. In production it needs a count that is safe "
    "for the longest requests, and so leaves memory unused.",
    "orca": "If out-of-memory steps are unacceptable and most requests are nearly as long as the longest one.",
    "token-budget": "To compare with Text Generation Inference. It never preempts a request.",
    "no-evict": "If a running request must never be preempted.",
    "sarathi": "If TPOT matters most and prompts are long.",
    "paged": "To compare with vLLM. It keeps memory full, and computes preempted requests again.",
    "token-ratio": "To compare with SGLang.",
    "past-future": "If preemptions are expensive and output lengths are stable. Planning takes more time than under "
    "the other policies.",
    "mc-sf": "As a baseline from theory. With `lengths=1` it is an upper bound.",
    "sorted-f": "As a baseline from theory. With `lengths=1` it is an upper bound.",
    "first-fit": "To see what the decreasing order of `ffd` brings.",
    "ffd": "To see what reserving each request's peak costs.",
    "skyline": "If memory is tight. Small chunks let the running requests make more tokens while a prompt is "
    "prefilled, so that they finish sooner and free their memory. With `eager=1` it admits all that fits now and swaps "
    "caches to the host: use this if the link to the host is fast. On an H200, 1,024 tokens of Qwen2.5-7B go to pinned "
    "memory and back in 2.4 ms, and computing them again takes 20.9 ms. Do not use it if the link is slow.",
    "oracle": "As the upper bound in a comparison. It knows the true output lengths, so it cannot run in production.",
}
"""When to use a policy. A policy without an entry has no such paragraph."""

TERMS = {
    "admission": "the decision to let a waiting request join the batch.",
    "ablation": "a comparison in which one switch changes at a time, to see what each switch brings.",
    "ageing": "the rule that no other request may overtake one that has waited for a set time.",
    "batch": "the requests that are computed together.",
    "best count": "for a policy that caps the number of requests: the cap with the best result among those that never "
    "run out of memory, searched on the trace itself.",
    "block": "the unit in which KV memory is given to requests, 16 tokens by default. Some engines call it a page.",
    "capacity": "the highest request rate at which a policy keeps the latency objective.",
    "chunked prefill": "computing a prompt in several steps, so that other requests can decode between them.",
    "closed loop": "a load in which a user sends the next request after the answer to the last one.",
    "continuous batching": "requests join and leave the batch between steps. Also called iteration-level batching.",
    "decode": "the phase in which output tokens are made, one for each running request in a step.",
    "eviction": "the scheduler removes a running request from the batch; its KV cache is dropped or swapped.",
    "first-fit decreasing": "bin packing in which the items are sorted by size, largest first, and each goes to the "
    "first bin in which it fits.",
    "KV cache": "the keys and values of all earlier tokens of a request, kept in GPU memory.",
    "KV pool": "the GPU memory that may hold KV caches.",
    "open loop": "a load in which requests come at their times, whether or not earlier ones have been answered.",
    "plan hash": "one number for all decisions of a run. Two runs with the same plan hash made the same decisions.",
    "prefill": "the phase in which the tokens of a prompt are computed.",
    "profile": "a model of step times that was fitted to measurements on a card.",
    "replay": "a run of a trace on a real device.",
    "roofline": "a model of step times from datasheet figures: the longer of compute time and memory time.",
    "SLO": "service level objective: here a limit for TTFT and one for TPOT.",
    "static batching": "a batch is formed, padded to its longest prompt and run until its last request ends.",
    "step": "one pass of the model over the tokens of a batch.",
    "swap": "copying a KV cache to host memory and back.",
    "think time": "the time between an answer and the next request of the same user.",
    "trace": "a list of requests with arrival times and lengths.",
}
"""Terms of the field. The definition of a metric goes before one of the same name here."""

GLOSSARY_HEAD = """\
# Glossary

<!-- This page is made by docs/generate.py: change the metrics or the terms there, not this page. -->

The terms of the documentation, and every figure of a report with its formula.
"""


def section_of(info: PolicyInfo) -> str:
    """The section of one policy."""
    parts = [f"## {info.id}"]
    if info.engine:
        parts.append(f"*Stands for: {info.engine}.*")
    parts.append(textwrap.fill(info.stands_for, WIDTH))
    parts.append(f"**Admits** a request if:\n\n```text\n{info.formula}\n```")
    if info.id in USE:
        parts.append(textwrap.fill(f"**When to use it.** {USE[info.id]}", WIDTH))
    if info.parameters:
        rows = [f"| `{p.name}` | {p.default:g} | {p.meaning} |" for p in info.parameters]
        parts.append("\n".join(["| parameter | default | meaning |", "|---|---|---|", *rows]))
    else:
        parts.append("It has no parameters.")
    return "\n\n".join(parts) + "\n"


def policies_page() -> str:
    """The text of policies.md."""
    return "\n".join([POLICIES_HEAD, *map(section_of, policy_catalogue())])


def capitalized(text: str) -> str:
    """The text with its first letter in upper case."""
    return text[0].upper() + text[1:]


def glossary_page() -> str:
    """The text of glossary.md."""
    defined = {term.lower() for term in GLOSSARY}
    terms = {term: text for term, text in TERMS.items() if term.lower() not in defined} | GLOSSARY
    listed = [
        f"## {term}\n\n{textwrap.fill(capitalized(terms[term]), WIDTH)}\n" for term in sorted(terms, key=str.lower)
    ]
    return "\n".join([GLOSSARY_HEAD, *listed])


def import_orders() -> dict[str, list[str]]:
    """The folders and modules of each package, lowest first, as the test of imports states them."""
    found = {}
    for node in ast.parse(IMPORT_RULES.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            found[node.targets[0].id] = node.value
    return {"csrc": ast.literal_eval(found["CORE"]), **ast.literal_eval(found["INSIDE"])}


def architecture_page() -> str:
    """The text of architecture.md, with its table of import orders made again."""
    before, rest = (DOCS / "architecture.md").read_text(encoding="utf-8").split(TABLE_START)
    after = rest.split(TABLE_END)[1]
    rows = [f"| `{package}` | {', '.join(order)} |\n" for package, order in import_orders().items()]
    table = "".join(["| package | folders and modules, lowest first |\n", "|---|---|\n", *rows])
    return f"{before}{TABLE_START}{table}{TABLE_END}{after}"


PAGES = {"policies.md": policies_page, "glossary.md": glossary_page, "architecture.md": architecture_page}


def main() -> None:
    """Write all of them."""
    for name, page in PAGES.items():
        (DOCS / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
