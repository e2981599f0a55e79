"""What a model asks of a device beside attention: the interface of `TorchOperations` and `TritonOperations`."""

from typing import Protocol

import torch

from ..step.batch import Sampled


class Operations(Protocol):
    """The operations of a step. They keep no state."""

    def embed(self, ids: torch.Tensor, last_tokens: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
        """Rows of the embedding, (tokens, hidden).

        Args:
            ids: (tokens,) int32: token ids; -1 - seat stands for the token that was drawn last at that seat.
            last_tokens: (seats,) int32.
            table: (vocab, hidden).
        """

    def rms_norm(self, x: torch.Tensor, weight: torch.Tensor, epsilon: float) -> torch.Tensor:
        """x / rms(x) * weight over the last dimension, computed in float32."""

    def add_rms_norm(
        self, x: torch.Tensor, residual: torch.Tensor, weight: torch.Tensor, epsilon: float
    ) -> torch.Tensor:
        """Add x to the residual stream, in place, and return the norm of the sum.

        Args:
            x: (tokens, hidden), or (parts, tokens, hidden) as `project_to_add` returns it: the parts are added up.
            residual: (tokens, hidden).
        """

    def rope_and_store(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        positions: torch.Tensor,
        slots: torch.Tensor,
        rotation: torch.Tensor,
        key_cache: torch.Tensor,
        value_cache: torch.Tensor,
        query_norm: torch.Tensor | None,
        key_norm: torch.Tensor | None,
        epsilon: float,
    ) -> None:
        """Norm (if the model does) and rotate queries and keys in place, and store keys and values in the cache.

        Args:
            query, key, value: (tokens, heads, head_dim), views of one tensor.
            positions, slots: (tokens,) int32, as in `Batch`.
            rotation: (positions, head_dim): cosines of the first half of the dimensions, then their sines.
            key_cache, value_cache: (blocks, block_tokens, kv_heads, head_dim), a layer's part of the pool.
            query_norm, key_norm: (head_dim,), both or none.
        """

    def project(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        """x @ weight^T + bias, (tokens, columns)."""

    def project_to_add(self, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """x @ weight^T in a form that `add_rms_norm` takes: whole, or in parts."""

    def gated(self, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """silu(x @ gate^T) * (x @ up^T), (tokens, intermediate).

        Args:
            weight: (2 * intermediate, hidden): the rows of gate, then those of up.
        """

    def sample(
        self, logits: torch.Tensor, sampled: Sampled, temperature: float, last_tokens: torch.Tensor
    ) -> torch.Tensor:
        """The next token of each row, (rows,) int32; it is also stored in `last_tokens` at the row's seat.

        At temperature 0 it is the most likely token. Else it is drawn from softmax(logits / temperature) by the
        Gumbel-max trick, with noise that depends only on the row's seed: a request that is computed again draws the
        same tokens.

        Args:
            logits: (rows, vocab).
        """
