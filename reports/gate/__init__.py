"""The performance gate: does a change make anything worse, and how certain is the answer?

Each class of metric has its own rule; `classes/registry.py` lists them:

    exact      figures of simulations: any difference fails until it is accepted
    counted    instructions, allocations, copied bytes: a small increase fails
    timed      CPU or GPU time of base and head, measured side by side: fails if two rounds show a slow-down
    trend      figures of replays over months: change points are reported and never fail a gate

`config.py`, `builds.py` and `gate.py` are what a class is given, `run.py` and `accept.py` go through all classes, and
`outputs/` shows a result on the terminal, in CI and as a page.
"""
