"""The machine that a replay runs on: its device, the memory of the device, and its speed."""

from dataclasses import dataclass
from typing import Any

import msgspec
import torch

from ..errors import DeviceUnavailable
from ..workloads import DeviceSpec, device_names, load_device

LEAST_CAPABILITY = (8, 0)
"""FlashAttention-2 needs Ampere."""

CPU_MEMORY_BYTES = 2 << 30
"""What a replay on the CPU may use without `--vram`. The CPU is for trying things out, not for serving."""


@dataclass(frozen=True, slots=True)
class Machine:
    """A device that can run models.

    Attributes:
        name: of the card, as the driver says it.
        driver: its version; empty on a CPU, or without NVML.
        used_before: bytes that other processes held on it when this one opened it, as far as NVML tells.
    """

    device: torch.device
    spec: DeviceSpec
    name: str
    driver: str
    used_before: int = 0

    @property
    def is_cuda(self) -> bool:
        """Whether it is a GPU."""
        return bool(self.device.type == "cuda")


def open_machine(device: str = "auto") -> Machine:
    """Open a GPU (`cuda`, `cuda:1`), the CPU (`cpu`), or the first GPU (`auto`).

    Raises:
        DeviceUnavailable: there is no such device, or it is too old for FlashAttention-2.
    """
    if device == "cpu":
        return Machine(torch.device("cpu"), _cpu_spec(), "CPU", "")
    wanted = torch.device("cuda", 0) if device in ("auto", "cuda") else _parse(device)
    if not torch.cuda.is_available():
        raise DeviceUnavailable(
            "no CUDA device is usable here: replay runs on an NVIDIA GPU; to try the same code without one, give "
            "--model tiny --device cpu"
        )
    if wanted.index >= torch.cuda.device_count():
        raise DeviceUnavailable(
            f"there is no device '{device}': this machine has {torch.cuda.device_count()} GPUs, counted from 0"
        )
    used = _used_by_uuid()  # before this process has a CUDA context
    torch.cuda.set_device(wanted)
    # Segments grow and shrink: under a cap, memory that was cached for one size of step must serve all other sizes.
    torch._C._accelerator_setAllocatorSettings("expandable_segments:True")
    facts = torch.cuda.get_device_properties(wanted)
    if (facts.major, facts.minor) < LEAST_CAPABILITY:
        raise DeviceUnavailable(
            f"{facts.name} has compute capability {facts.major}.{facts.minor}, FlashAttention-2 needs 8.0 or newer: "
            "choose another --device"
        )
    return Machine(wanted, _cuda_spec(wanted, facts), str(facts.name), _driver(), used.get(uuid_of(facts), 0))


def _parse(device: str) -> torch.device:
    try:
        parsed = torch.device(device)
    except RuntimeError:
        parsed = None
    if parsed is None or parsed.type != "cuda":
        raise DeviceUnavailable(f"replay runs on 'auto', 'cuda', 'cuda:N' or 'cpu', not on '{device}'")
    return torch.device("cuda", parsed.index or 0)


def _cuda_spec(device: torch.device, facts: Any) -> DeviceSpec:
    """The device of the catalogue if the card is in it, else measured now."""
    known = next(
        (spec for spec in map(load_device, device_names()) if is_card(spec, facts.name, facts.total_memory)), None
    )
    if known is not None:
        return msgspec.structs.replace(
            known, memory_bytes=facts.total_memory, multiprocessors=facts.multi_processor_count
        )
    try:
        return _measured_spec(device, facts)
    except torch.OutOfMemoryError:
        raise DeviceUnavailable(
            f"{facts.name} has less than 1 GiB left, too little to measure it: stop other processes on it"
        ) from None


def is_card(spec: DeviceSpec, name: str, memory_bytes: int) -> bool:
    """Whether a card of that name and size is this device of the catalogue: all parts of the name, the same build."""
    words = name.lower().replace("-", " ").split()
    named = all(
        part in words or (part.isdigit() and any(word.startswith(part) for word in words))
        for part in spec.name.split("-")
    )
    other_build = {"pcie", "nvl", "laptop", "d"} & {*words}
    return named and not other_build and abs(spec.memory_bytes - memory_bytes) < spec.memory_bytes // 10


def _measured_spec(device: torch.device, facts: Any) -> DeviceSpec:
    return DeviceSpec(
        name=facts.name,
        memory_bytes=facts.total_memory,
        bandwidth_bytes_s=_measured_bandwidth(device),
        bf16_flops=_measured_flops(device),
        measured=True,
        multiprocessors=facts.multi_processor_count,
        host_link_bytes_s=_measured_host_link(device),
        context_bytes=0,
        step_tokens=8192 if facts.total_memory > 60 << 30 else 2048,
        max_seqs=1024 if facts.total_memory > 60 << 30 else 256,
        source="measured at the start of the run",
    )


def _cpu_spec() -> DeviceSpec:
    return DeviceSpec(
        name="cpu",
        memory_bytes=CPU_MEMORY_BYTES,
        bandwidth_bytes_s=10**10,
        bf16_flops=10**11,
        measured=False,
        multiprocessors=0,
        host_link_bytes_s=5 * 10**9,
        context_bytes=0,
        step_tokens=512,
        max_seqs=32,
        source="stands for any CPU; its rates only decide between swap and recompute",
    )


def _seconds(device: torch.device, work: Any) -> float:
    """The shortest of five runs."""
    best = float("inf")
    for _ in range(5):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        work()
        end.record()
        torch.cuda.synchronize(device)
        best = min(best, start.elapsed_time(end) / 1e3)
    return best


def _measured_bandwidth(device: torch.device) -> int:
    source = torch.empty(1 << 29, dtype=torch.bfloat16, device=device)
    return int(round(source.nbytes / _seconds(device, source.sum), -9))


def _measured_flops(device: torch.device) -> int:
    a = torch.randn(4096, 4096, dtype=torch.bfloat16, device=device)
    return int(round(2 * 4096**3 / _seconds(device, lambda: a @ a), -12))


def _measured_host_link(device: torch.device) -> int:
    host = torch.empty(1 << 28, dtype=torch.uint8, pin_memory=True)
    there = torch.empty_like(host, device=device)
    return int(round(host.nbytes / _seconds(device, lambda: there.copy_(host, non_blocking=True)), -9))


def uuid_of(facts: Any) -> str:
    """The name of a card for NVML, from CUDA's properties: the two number cards differently, but agree on its UUID."""
    uuid = str(facts.uuid)
    return uuid if uuid.startswith("GPU-") else f"GPU-{uuid}"


def _used_by_uuid() -> dict[str, int]:
    """Bytes in use on each card, by UUID. Without NVML it is empty: no other process is assumed."""
    try:
        import pynvml

        pynvml.nvmlInit()
        handles = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
        return {pynvml.nvmlDeviceGetUUID(each): int(pynvml.nvmlDeviceGetMemoryInfo(each).used) for each in handles}
    except Exception:  # NVML may fail in many ways, and a replay can run without it
        return {}


def _driver() -> str:
    try:
        import pynvml

        pynvml.nvmlInit()
        return str(pynvml.nvmlSystemGetDriverVersion())
    except Exception:  # NVML may fail in many ways, and a replay can run without it
        return ""
