"""Where every running request sits, and every token that was decided.

Kernels know seats, not requests: a request takes one when it is admitted and leaves it when it ends or is evicted.
All that a step needs of a request stands in arrays by seat, so that hundreds of rows are a few array operations.
"""

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int32]

_NO_ROWS: tuple[list[int], npt.NDArray[np.int64]] = ([], np.zeros(0, dtype=np.int64))


class TokenLog:
    """The tokens of all requests, prompts and outputs, end to end in one array.

    Args:
        prompt_tokens: of each request; the prompts themselves are written when it comes.
        outputs: how many tokens each may make at most.

    Attributes:
        starts: where each request's prompt begins in `tokens`.
    """

    def __init__(self, prompt_tokens: npt.NDArray[np.int64], outputs: npt.NDArray[np.int64]) -> None:
        self.prompt_tokens = prompt_tokens.astype(np.int64)
        lengths = self.prompt_tokens + outputs
        self.starts = np.cumsum(lengths) - lengths
        self.trash = int(lengths.sum())
        """A place for tokens that nobody asked for: rows of a padded batch that ended before it."""
        self.tokens: Integers = np.zeros(self.trash + 1, dtype=np.int32)

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


class Seats:
    """Who sits where, and how far each has come.

    Attributes:
        tokens: by seat, tokens that are decided: the prompt and what was generated.
        cached: by seat, tokens whose keys and values are held.
        request: by seat, its request; stale where nobody sits.
    """

    def __init__(self, count: int, log: TokenLog, outputs: npt.NDArray[np.int64]) -> None:
        self._log = log
        self._ends = log.prompt_tokens + outputs
        self._made = np.zeros(len(outputs), dtype=np.int64)
        self._free = list(range(count - 1, -1, -1))
        self._seat_of: dict[int, int] = {}
        self._last_rows = _NO_ROWS
        self.tokens = np.zeros(count, dtype=np.int64)
        self.cached = np.zeros(count, dtype=np.int64)
        self.request = np.zeros(count, dtype=np.int64)

    def take(self, request: int) -> int:
        """A seat for a request; the one that it has if it sits already."""
        if request in self._seat_of:
            return self._seat_of[request]
        seat = self._free.pop()
        self._seat_of[request] = seat
        self.request[seat] = request
        self.tokens[seat] = self._log.prompt_tokens[request] + self._made[request]
        self.cached[seat] = 0
        return seat

    def leave(self, request: int, *, lost_generated: bool = False) -> None:
        """The request sits no more, if it did; what it generated is remembered unless it is lost."""
        seat = self._seat_of.pop(request, None)
        if seat is None:
            return
        self._last_rows = _NO_ROWS
        made = self.tokens[seat] - self._log.prompt_tokens[request]
        self._made[request] = 0 if lost_generated else made
        self._free.append(seat)

    def of(self, request: int) -> int:
        """The seat of a request that sits."""
        return self._seat_of[request]

    def made(self, request: int) -> int:
        """How many tokens a request that sits has generated."""
        return int(self.tokens[self._seat_of[request]] - self._log.prompt_tokens[request])

    def rows(self, requests: list[int]) -> npt.NDArray[np.int64]:
        """The seats of many; mostly those of the step before, which is noticed."""
        if requests != self._last_rows[0]:
            seats = np.fromiter(map(self._seat_of.__getitem__, requests), np.int64, len(requests))
            self._last_rows = (list(requests), seats)
        return self._last_rows[1]

    def log_places(self, seats: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Where in the log the next token of each seat belongs."""
        requests = self.request[seats]
        places = self._log.starts[requests] + self.tokens[seats]
        return np.where(self.tokens[seats] < self._ends[requests], places, self._log.trash)

    def ended(self, seats: npt.NDArray[np.int64]) -> list[int]:
        """Of those, the requests that just made their last token, in order of their numbers."""
        requests = self.request[seats]
        done = self.tokens[seats] == self._ends[requests]
        return sorted(requests[done].tolist()) if done.any() else []
