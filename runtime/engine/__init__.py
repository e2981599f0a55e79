"""Computes steps.

`engine` is a model with its KV pool, `graphs` its captured steps, `executor` carries out the scheduler's plans on it,
and `token_log` holds every token.
"""
