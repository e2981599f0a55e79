"""One seed, many streams of random numbers: each purpose has a stream of its own, independent of all others."""

import numpy as np

# These numbers must never change: another number here makes another trace of every seed.
CHOICE, LENGTHS, HIDDEN_RATE = 1, 2, 3
POISSON, RESHUFFLE, GAMMA, WEIBULL, ON_OFF, HOURLY = 101, 102, 103, 104, 105, 106
JITTER, SHUFFLED_PROMPTS, SHUFFLED_OUTPUTS = 107, 108, 109
USERS = 113
FIT_SAMPLE, FIT_START, FIT_CHECK = 110, 111, 112
SESSION_LENGTHS, SESSION_THINK, SESSION_RESETS, FIT_GROWTH = 114, 115, 116, 117
CLIENT_ARRIVALS, CLIENT_PROMPTS, CLIENT_OUTPUTS = 118, 119, 120


def stream(seed: int, *purpose: int) -> np.random.Generator:
    """The generator for one purpose under a seed."""
    return np.random.default_rng([seed, *purpose])
