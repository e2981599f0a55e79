"""How a step attends to its caches: one interface, and what is behind it on each machine.

`flash` calls flash-attn 2, `paged` has kernels of our own for small pages, `torch_flash` calls the FlashAttention-2
that torch carries, `sdpa` runs on any device.
"""

import torch

from ...errors import DeviceUnavailable, InvalidScenario
from ...workloads import ModelSpec
from ..machine import Machine
from .interface import Attention

BACKENDS = ("auto", "paged", "flash", "torch-flash", "sdpa")


def choose_attention(name: str, machine: Machine, spec: ModelSpec) -> Attention:
    """The backend by name; `auto`: our own paged kernels, with flash-attn and cuDNN for prompts, where they run, else
    flash-attn alone, else torch's own FlashAttention-2, else SDPA.

    Raises:
        DeviceUnavailable: what was asked for is not installed, or cannot run this model here.
        InvalidScenario: there is no backend of that name.
    """
    if name not in BACKENDS:
        raise InvalidScenario(f"--attention is '{name}', expected one of {', '.join(BACKENDS)}")
    if name == "auto":
        return next(filter(None, (_attention(each, machine, spec) for each in BACKENDS[1:])))
    found = _attention(name, machine, spec)
    if found is not None:
        return found
    if not _is_flash_able(machine, spec):
        raise DeviceUnavailable(
            f"--attention {name} runs models of 16 bits with heads of up to 256 dimensions on a GPU; this is "
            f"{spec.name} on {machine.name}: choose --attention sdpa"
        )
    raise DeviceUnavailable(
        f"--attention {name} needs flash-attn 2.8.3, which is not installed: pip install --no-build-isolation "
        "'warpgroup[flash]', or choose --attention torch-flash"
    )


def _attention(name: str, machine: Machine, spec: ModelSpec) -> Attention | None:
    """The backend; None if it cannot run here."""
    from .sdpa import SdpaAttention

    if name == "sdpa":
        return SdpaAttention()
    if not _is_flash_able(machine, spec):
        return None
    if name == "torch-flash":
        from .torch_flash import TorchFlashAttention

        return TorchFlashAttention()
    try:
        from .flash import FlashAttention

        if name == "flash":
            return FlashAttention()
        from .paged import PagedAttention
        from .prompts import PromptAttention  # needs flash-attn
    except ImportError:
        return None
    return PagedAttention(machine.spec.multiprocessors, spec.kv_heads, PromptAttention(cudnn=_has_fast_cudnn(spec)))


def _has_fast_cudnn(spec: ModelSpec) -> bool:
    on_hopper = torch.cuda.get_device_capability() >= (9, 0)
    return on_hopper and torch.backends.cudnn.is_available() and spec.head_dim in (64, 128)


def _is_flash_able(machine: Machine, spec: ModelSpec) -> bool:
    return machine.is_cuda and spec.dtype_bytes == 2 and spec.head_dim % 8 == 0 and spec.head_dim <= 256


def require_blocks(attention: Attention, block_tokens: int) -> None:
    """Refuse KV blocks that the backend cannot read. Raises InvalidScenario."""
    if block_tokens % attention.block_multiple:
        raise InvalidScenario(
            f"--block-tokens is {block_tokens}, {attention.name} reads multiples of {attention.block_multiple}"
        )


__all__ = ["BACKENDS", "Attention", "choose_attention", "require_blocks"]
