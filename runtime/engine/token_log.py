"""Every token of a run: prompts and outputs."""

import numpy as np
import numpy.typing as npt

from ..step.inputs import Integers


class TokenLog:
    """The tokens of all requests, prompts and outputs, one after another in one array.

    Args:
        prompt_tokens: (requests,): length of each prompt. The prompt itself is written when its request comes.
        outputs: (requests,): how many tokens each request generates at most.

    Attributes:
        starts: (requests,): where the prompt of each request begins in `tokens`.
        ends: (requests,): how many tokens each request has at its end, prompt and output.
        tokens: int32. The last place takes the tokens of padding: rows of a static batch that ended before it.
    """

    def __init__(self, prompt_tokens: npt.NDArray[np.int64], outputs: npt.NDArray[np.int64]) -> None:
        self.prompt_tokens = prompt_tokens.astype(np.int64)
        self.ends = self.prompt_tokens + outputs
        self.starts = np.cumsum(self.ends) - self.ends
        self.tokens: Integers = np.zeros(int(self.ends.sum()) + 1, dtype=np.int32)

    def output(self, request: int, count: int) -> Integers:
        """The first `count` tokens that a request generated."""
        start = self.starts[request] + self.prompt_tokens[request]
        return self.tokens[start : start + count]


def random_prompts(prompt_tokens: npt.NDArray[np.int64], vocab: int, seed: int) -> list[Integers]:
    """Random prompts of the given lengths. The prompt of a request depends only on the seed and its number."""
    return [
        np.random.default_rng((seed, request)).integers(0, vocab, size=int(tokens), dtype=np.int32)
        for request, tokens in enumerate(prompt_tokens)
    ]
