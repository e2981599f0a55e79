"""Replays a trace on an engine, and records the run.

`session` opens the engine, `arrivals` submits requests by the `clock`, `replay` is the loop of plan, launch and commit,
`accounting` adds up its steps, `recording` writes the record, and `replay_all` does this for several policies.
"""
