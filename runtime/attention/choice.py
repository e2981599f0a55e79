"""Chooses the attention backend for a model on a machine."""

from importlib import import_module

from ...errors import DeviceUnavailable, InvalidScenario
from ...workloads import ModelSpec
from ..machine import Machine
from .interface import Attention
from .registry import BACKENDS, REGISTRY, Backend


def choose_attention(name: str, machine: Machine, spec: ModelSpec) -> Attention:
    """The backend of that name; for `auto` the first of the registry that can run this model on this machine.

    Raises:
        InvalidScenario: there is no backend of that name.
        DeviceUnavailable: the backend needs a package that is not installed, or it cannot run this model here.
    """
    if name not in BACKENDS:
        raise InvalidScenario(f"--attention is '{name}', expected one of {', '.join(BACKENDS)}")
    if name == "auto":
        name = next(each for each in REGISTRY if not _obstacle(each, machine, spec))
    if obstacle := _obstacle(name, machine, spec):
        raise DeviceUnavailable(f"--attention {name} {obstacle}")
    backend = REGISTRY[name]
    kind: type[Attention] = getattr(import_module(f".{backend.module}", __package__), backend.kind)
    return kind.for_model(machine, spec)


def _obstacle(name: str, machine: Machine, spec: ModelSpec) -> str:
    """Why the backend cannot run this model here, and what to do; empty if it can."""
    backend = REGISTRY[name]
    if backend.needs_flash_model and not _is_flash_model(machine, spec):
        return (
            "runs models of 16 bits with heads of up to 256 dimensions on a GPU; this is "
            f"{spec.name} on {machine.name}: choose --attention sdpa"
        )
    if backend.package is not None and (module := _missing_module(backend)):
        return (
            f"needs {backend.package.name}, but the module {module} cannot be imported: run {backend.package.install}, "
            "or choose --attention torch-flash"
        )
    return ""


def _is_flash_model(machine: Machine, spec: ModelSpec) -> bool:
    return machine.is_cuda and spec.dtype_bytes == 2 and spec.head_dim % 8 == 0 and spec.head_dim <= 256


def _missing_module(backend: Backend) -> str:
    """The first module that cannot be imported, such as one that was built for another torch; empty if all can."""
    for module in backend.modules:
        try:
            import_module(module)
        except ImportError:
            return module
    return ""


def require_blocks(attention: Attention, block_tokens: int) -> None:
    """Refuse a size of KV blocks that the backend cannot read. Raises InvalidScenario."""
    if block_tokens % attention.block_multiple:
        raise InvalidScenario(
            f"--block-tokens is {block_tokens}, but {attention.name} reads only multiples of "
            f"{attention.block_multiple}: choose one"
        )
