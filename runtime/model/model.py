"""The forward pass of the Llama family over the tokens of one step: from token ids to the next tokens."""

import math
from collections.abc import Sequence

import torch
from torch.nn.functional import linear

from ...workloads import ModelSpec
from ..attention.interface import Attention
from ..step.batch import Batch, LayerCache
from .operations import Operations
from .weights import Layer, Weights


class Model:
    """Weights and the forward pass. It knows no requests and no memory management: a batch says where things lie.

    Args:
        operations: for the device of the weights.
        rotation_tokens: how many positions the rotary table covers.
        temperature: 0 for greedy decoding.
    """

    def __init__(
        self,
        spec: ModelSpec,
        weights: Weights,
        attention: Attention,
        operations: Operations,
        *,
        rotation_tokens: int,
        temperature: float = 0.0,
    ) -> None:
        self.spec, self.weights, self.attention = spec, weights, attention
        self._ops = operations
        self._temperature = temperature
        self.rotation = rotary_table(spec, rotation_tokens).to(weights.embedding.device)

    def step(self, batch: Batch, cache: Sequence[LayerCache], last_tokens: torch.Tensor) -> torch.Tensor:
        """Compute a step: store its keys and values, and draw the next token of each sampled row.

        Args:
            batch: the step's inputs.
            cache: keys and values of each layer in the pool.
            last_tokens: (seats,) int32: the last drawn token of each seat; read and written.

        Returns:
            The drawn tokens, (sampled rows,) int32.
        """
        logits = self.logits(batch, cache, last_tokens)
        return self._ops.sample(logits, batch.sampled, self._temperature, last_tokens)

    def logits(self, batch: Batch, cache: Sequence[LayerCache], last_tokens: torch.Tensor) -> torch.Tensor:
        """The logits of the sampled rows, (sampled rows, vocab), in the dtype of the model. Arguments as for `step`."""
        weights, epsilon, ops = self.weights, self.spec.norm_epsilon, self._ops
        self.attention.begin(batch)
        residual = ops.embed(batch.ids, last_tokens, weights.embedding)
        x = ops.rms_norm(residual, weights.layers[0].input_norm, epsilon)
        for index, layer in enumerate(weights.layers):
            if index:
                x = ops.add_rms_norm(x, residual, layer.input_norm, epsilon)
            x = self._attend(layer, x, batch, cache[index])
            x = ops.add_rms_norm(x, residual, layer.mlp_norm, epsilon)
            x = ops.project_to_add(ops.gated(x, layer.gate_up), layer.down)
        rows = batch.sampled.tokens
        last = ops.add_rms_norm(x.index_select(-2, rows), residual[rows], weights.final_norm, epsilon)
        return linear(last, weights.head)

    def _attend(self, layer: Layer, x: torch.Tensor, batch: Batch, cache: LayerCache) -> torch.Tensor:
        spec = self.spec
        heads = self._ops.project(x, layer.qkv, layer.qkv_bias).view(x.shape[0], -1, spec.head_dim)
        query, key, value = heads.split((spec.query_heads, spec.kv_heads, spec.kv_heads), dim=1)
        self._ops.rope_and_store(
            query,
            key,
            value,
            batch.positions,
            batch.slots,
            self.rotation,
            *cache,
            layer.query_norm,
            layer.key_norm,
            spec.norm_epsilon,
        )
        attended = torch.empty((x.shape[0], spec.query_heads, spec.head_dim), dtype=x.dtype, device=x.device)
        self.attention.attend(query, key, value, cache, batch, attended)
        return self._ops.project_to_add(attended.flatten(1), layer.output)


def rotary_table(spec: ModelSpec, tokens: int) -> torch.Tensor:
    """The rotary table, (tokens, head_dim) in float32: cosines of position x frequency, then their sines.

    frequency[i] = theta^(-2i / head_dim) (RoFormer, arXiv 2104.09864); Llama 3.1 scales the low frequencies, as in its
    reference implementation.
    """
    exponents = torch.arange(0, spec.head_dim, 2, dtype=torch.int64).float() / spec.head_dim
    frequencies = 1.0 / spec.rope_theta**exponents
    if spec.rope_scaling is not None:
        frequencies = _scaled(frequencies, spec)
    angles = torch.arange(tokens, dtype=torch.int64).float()[:, None] * frequencies
    return torch.cat((angles.cos(), angles.sin()), dim=-1)


def _scaled(frequencies: torch.Tensor, spec: ModelSpec) -> torch.Tensor:
    scaling = spec.rope_scaling
    assert scaling is not None
    turns = scaling.original_context_tokens * frequencies / (2 * math.pi)
    ramp = (turns - scaling.low_freq_factor) / (scaling.high_freq_factor - scaling.low_freq_factor)
    kept = ramp.clamp(0, 1)
    return frequencies * (kept + (1 - kept) / scaling.factor)
