"""Launches steps: chooses the captured shape that one fits into, or the one that it has; the core writes its slab."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from ..csrc import StepBuilder, StepExtent
from .engine import Engine
from .inputs import Chunk, Filling, Shape


@dataclass(frozen=True, slots=True)
class Arranged:
    """A step as it will be laid out."""

    shape: Shape
    filling: Filling
    captured: bool


def arrange(engine: Engine, extent: StepExtent) -> Arranged:
    """In the smallest captured shape that it fits into, where every prompt continues a cache, if only an empty one;
    else in a shape of its own.
    """
    captured = _captured_shape(engine, extent)
    if captured is not None:
        return Arranged(captured, Filling(), captured=True)
    shape = Shape(
        rows=extent.rows,
        chunks=extent.chunks,
        chunk_tokens=extent.chunk_tokens,
        prompts=len(extent.prompts),
        prompt_tokens=extent.prompt_tokens,
        sampled=extent.sampled,
        width=engine.extent.width,
    )
    filling = Filling(
        longest_chunk=extent.longest_chunk,
        longest_cache=max(extent.longest_cached, 1),
        cached=extent.cached_tokens,
        prompts=tuple(extent.prompts),
    )
    return Arranged(shape, filling, captured=False)


def _captured_shape(engine: Engine, extent: StepExtent) -> Shape | None:
    if extent.padded:
        return None
    width = -(-extent.longest // engine.pool.block_tokens)
    pieces = extent.chunks + len(extent.prompts)
    return engine.graphs.fitting(extent.rows, pieces, extent.chunk_tokens + extent.prompt_tokens, width)


def launcher(engine: Engine, builder: StepBuilder, step: Arranged) -> Callable[[], torch.Tensor]:
    """Lays out the prepared step as things lie when it is called, and launches it: the tokens that it will draw."""

    def launch() -> torch.Tensor:
        layout, slab = engine.begin(step.shape)
        builder.write(slab, step.shape.to_core(), all_continue=step.captured)
        chunks = [Chunk(*chunk) for chunk in builder.chunks(all=step.captured)]
        engine.model.attention.fill(layout.arrays(slab), step.shape, builder.row_lengths(), chunks)
        return engine.run(layout, step.filling)

    return launch
