"""Plain references for packing: the rules as one would say them, and the optimum."""

from collections.abc import Iterable

import numpy as np

RULES = ("next-fit", "first-fit", "best-fit", "worst-fit")
DECREASING = {"nfd": "next-fit", "ffd": "first-fit", "bfd": "best-fit", "wfd": "worst-fit"}


class PlainPacker:
    """One list of bins, searched from end to end."""

    def __init__(self, capacity: int, rule: str) -> None:
        self.capacity, self.rule = capacity, rule
        self.free: list[int] = []
        self._since: list[int] = []  # when the free space of the bin last changed
        self._now = 0

    def insert(self, length: int) -> int:
        chosen = self._choose(length)
        if chosen is None:
            self.free.append(self.capacity)
            self._since.append(0)
            chosen = len(self.free) - 1
        self._change(chosen, -length)
        return chosen

    def remove(self, bin: int, length: int) -> None:
        self._change(bin, length)

    def _change(self, bin: int, by: int) -> None:
        self._now += 1
        self.free[bin] += by
        self._since[bin] = self._now

    def _choose(self, length: int) -> int | None:
        fitting = [b for b, free in enumerate(self.free) if free >= length]
        if self.rule == "next-fit":
            last = len(self.free) - 1
            return last if last in fitting else None
        if not fitting:
            return None
        if self.rule == "first-fit":
            return fitting[0]
        pick = min if self.rule == "best-fit" else max
        wanted = pick(self.free[b] for b in fitting)
        return max((b for b in fitting if self.free[b] == wanted), key=lambda b: self._since[b])


def plain_pack(lengths: list[int], capacity: int, algorithm: str) -> list[int]:
    """Bin of each item."""
    order: Iterable[int] = range(len(lengths))
    if algorithm in DECREASING:
        order = sorted(order, key=lambda i: -lengths[i])
    packer = PlainPacker(capacity, DECREASING.get(algorithm, algorithm))
    bin_of = [0] * len(lengths)
    for item in order:
        bin_of[item] = packer.insert(lengths[item])
    return bin_of


def optimum(lengths: list[int], capacity: int) -> int:
    """The fewest bins, exactly: the arc-flow model of Valerio de Carvalho (1999), solved as a mixed-integer program.

    Nodes are fill levels 0..capacity. An arc of a size leads from a level to the level with that size on top, a loss
    arc from a level to the next. A unit of flow from 0 to `capacity` is a bin; every size must be used often enough.
    """
    from scipy.optimize import Bounds, LinearConstraint, milp

    sizes, counts = np.unique([length for length in lengths if length > 0], return_counts=True)
    if not len(sizes):
        return min(len(lengths), 1)
    arcs = [(level, level + s) for s in sizes for level in range(capacity - s + 1)]
    arcs += [(level, level + 1) for level in range(capacity)]
    of_size = [i for i, s in enumerate(sizes) for _ in range(capacity - s + 1)] + [-1] * capacity
    columns = len(arcs) + 1  # the last one: the flow back from `capacity` to 0, the number of bins
    conserve = np.zeros((capacity + 1, columns))
    for column, (tail, head) in enumerate(arcs):
        conserve[tail, column] -= 1
        conserve[head, column] += 1
    conserve[capacity, -1], conserve[0, -1] = -1, 1
    demand = np.zeros((len(sizes), columns))
    for column, size in enumerate(of_size):
        if size >= 0:
            demand[size, column] = 1
    cost = np.zeros(columns)
    cost[-1] = 1
    result = milp(
        cost,
        constraints=[LinearConstraint(conserve, 0, 0), LinearConstraint(demand, counts, np.inf)],
        integrality=np.ones(columns),
        bounds=Bounds(0, len(lengths)),
    )
    assert result.success, result.message
    return round(result.fun)
