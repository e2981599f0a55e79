"""The attention backends, in the order in which `auto` tries them. Nothing here imports torch."""

from dataclasses import dataclass

from ..extras import install_command


@dataclass(frozen=True, slots=True)
class Package:
    """An optional package that a backend needs.

    Attributes:
        name: of the package and its version, for messages.
        install: the command that installs it, with all other modules that the backends need.
    """

    name: str
    install: str


@dataclass(frozen=True, slots=True)
class Backend:
    """Where a backend is defined, and what it needs.

    Attributes:
        module: its module in this folder, imported when the backend is made.
        kind: the class there; see `Attention`.
        needs_flash_model: it runs FlashAttention kernels: only on a GPU, in 16 bits, with heads of at most 256
            dimensions, a multiple of 8.
        package: an optional package that it needs.
        modules: the modules outside torch that it imports: they must be importable.
    """

    module: str
    kind: str
    needs_flash_model: bool = False
    package: Package | None = None
    modules: tuple[str, ...] = ()


_FLASH_ATTN = Package("flash-attn 2.8.3", install_command("flash", options="--no-build-isolation "))
_FLASH_KERNELS = "flash_attn_2_cuda"

REGISTRY = {
    "paged": Backend("paged", "PagedAttention", True, _FLASH_ATTN, (_FLASH_KERNELS, "triton")),
    "flash": Backend("flash", "FlashAttention", True, _FLASH_ATTN, (_FLASH_KERNELS,)),
    "torch-flash": Backend("torch_flash", "TorchFlashAttention", needs_flash_model=True),
    "sdpa": Backend("sdpa", "SdpaAttention"),
}
"""Each backend by its name, the best first. The last one runs on every machine."""

BACKENDS = ("auto", *REGISTRY)
"""What `--attention` takes."""
