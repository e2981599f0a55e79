"""The gate: has a change made anything worse, and how sure is that? Four classes of metric, each with its own rule.

exact      what simulations come to: equal, or changed and to be accepted
counted    instructions, allocations, bytes copied: a small increase fails
timed      CPU or GPU time of base and head side by side: fails when statistics are sure, twice
trend      history of GPU runs: change points are reported and never block
"""
