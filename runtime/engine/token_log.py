"""Every token that was decided: prompts, and what requests made of them."""

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int32]


class TokenLog:
    """The tokens of all requests, prompts and outputs, end to end in one array.

    Args:
        prompt_tokens: of each request; the prompts themselves are written when it comes.
        outputs: how many tokens each may make at most.

    Attributes:
        starts: where each request's prompt begins in `tokens`.
        ends: of each request: how many tokens it has in the end.
        tokens: the last place is for tokens that nobody asked for: rows of a padded batch that ended before it.
    """

    def __init__(self, prompt_tokens: npt.NDArray[np.int64], outputs: npt.NDArray[np.int64]) -> None:
        self.prompt_tokens = prompt_tokens.astype(np.int64)
        self.ends = self.prompt_tokens + outputs
        self.starts = np.cumsum(self.ends) - self.ends
        self.tokens: Integers = np.zeros(int(self.ends.sum()) + 1, dtype=np.int32)

    def output(self, request: int, count: int) -> Integers:
        """The first `count` tokens that a request made."""
        start = self.starts[request] + self.prompt_tokens[request]
        return self.tokens[start : start + count]


def random_prompts(prompt_tokens: npt.NDArray[np.int64], vocab: int, seed: int) -> list[Integers]:
    """Prompts of given lengths; a request's prompt depends on the seed and its number alone."""
    return [
        np.random.default_rng((seed, request)).integers(0, vocab, size=int(tokens), dtype=np.int32)
        for request, tokens in enumerate(prompt_tokens)
    ]
