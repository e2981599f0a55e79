"""Two kinds of least squares that NumPy does not have."""

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def non_negative(columns: Array, target: Array) -> Array:
    """The x >= 0 that minimizes |columns @ x - target|, by active sets (Lawson and Hanson, 1974, chapter 23).

    Args:
        columns: (rows, unknowns).
        target: (rows,).

    Returns:
        (unknowns,).
    """
    if len(columns) > columns.shape[1] + 1:  # QR reduces the problem to one row more than there are unknowns
        reduced: Array = np.asarray(np.linalg.qr(np.column_stack([columns, target]), mode="r"))
        columns, target = reduced[:, :-1], reduced[:, -1]
    scale = np.linalg.norm(columns, axis=0)
    scale[scale == 0] = 1
    columns = columns / scale
    count = columns.shape[1]
    found, free = np.zeros(count), np.zeros(count, dtype=bool)
    for _ in range(3 * count):
        slope = columns.T @ (target - columns @ found)
        slope[free] = -np.inf
        if free.all() or slope.max() <= 1e-10 * np.linalg.norm(target):
            break
        free[int(slope.argmax())] = True
        while True:
            trial = np.zeros(count)
            trial[free] = np.linalg.lstsq(columns[:, free], target, rcond=None)[0]
            below = free & (trial <= 0)
            if not below.any():
                break
            step = (found[below] / np.maximum(found[below] - trial[below], 1e-300)).min()
            found += step * (trial - found)
            free &= found > 1e-14
            found[~free] = 0
        found = trial
    return np.asarray(found / scale)


def damped(columns: Array, target: Array, pull: Array) -> Array:
    """The x that minimizes |columns @ x - target|^2 + |pull * x|^2 (ridge regression): without evidence x is zero.

    Args:
        columns: (rows, unknowns).
        target: (rows,).
        pull: (unknowns,), each above 0.

    Returns:
        (unknowns,).
    """
    return np.asarray(np.linalg.solve(columns.T @ columns + np.diag(pull**2), columns.T @ target))
