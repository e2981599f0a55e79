"""Lengths as a mixture of two-dimensional lognormals, which keeps the correlation of prompt and output."""

import math

import msgspec
import numpy as np

from ...errors import InvalidScenario
from ..trace import Column, Flags


class LengthMixture(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A mixture of Gaussians over (ln prompt, ln output), with natural logarithms.

    Attributes:
        w: the share of each component.
        mean_ln: (prompt, output) of each.
        cov_ln: (variance of the prompt, covariance, variance of the output) of each.
    """

    w: tuple[float, ...]
    mean_ln: tuple[tuple[float, float], ...]
    cov_ln: tuple[tuple[float, float, float], ...]

    def __post_init__(self) -> None:
        if not self.w or not len(self.w) == len(self.mean_ln) == len(self.cov_ln):
            raise InvalidScenario("mixture: w, mean_ln and cov_ln must have the same length, at least 1")
        if not all(0 < w < math.inf for w in self.w):
            raise InvalidScenario("mixture: all shares in w must be positive")
        if not all(math.isfinite(value) for row in (*self.mean_ln, *self.cov_ln) for value in row):
            raise InvalidScenario("mixture: all numbers in mean_ln and cov_ln must be finite")
        for index, (prompt, both, output) in enumerate(self.cov_ln):
            if not (prompt > 0 and output > 0 and both**2 <= prompt * output):
                raise InvalidScenario(f"mixture: cov_ln[{index}] is not a covariance: variances must be positive")

    def draw(self, count: int, clip: tuple[int, int], rng: np.random.Generator) -> tuple[Column, Column, Flags]:
        """Draw `count` requests: prompts, outputs, and which of them were clipped to 1 .. `clip`, each (count,)."""
        weights = np.array(self.w)
        which = rng.choice(len(weights), count, p=weights / weights.sum())
        mean, cov = np.array(self.mean_ln)[which], np.array(self.cov_ln)[which]
        z = rng.standard_normal((count, 2))
        # The Cholesky factor of [[v_p, c], [c, v_o]], written out, one row per request.
        first = np.sqrt(cov[:, 0])
        slope = cov[:, 1] / first
        rest = np.sqrt(np.maximum(cov[:, 2] - slope**2, 0))
        logs = mean + np.stack([first * z[:, 0], slope * z[:, 0] + rest * z[:, 1]], axis=1)
        drawn = np.rint(np.exp(np.minimum(logs, 43))).astype(np.int64)  # e^43 is beyond any clip, and still fits int64
        lengths: Column = np.clip(drawn, 1, np.array(clip))
        return lengths[:, 0], lengths[:, 1], (lengths != drawn).any(axis=1)
