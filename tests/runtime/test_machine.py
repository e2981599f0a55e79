"""Which card this is, and how much of its memory other processes use."""

import pytest

from warpgroup.runtime.machine import is_card
from warpgroup.runtime.memory.vram import Monitor
from warpgroup.workloads import load_device

GIB = 1 << 30


@pytest.mark.parametrize(
    ("card", "name", "same"),
    [
        ("h200", "NVIDIA H200", True),
        ("h100", "NVIDIA H100 80GB HBM3", True),
        ("h100", "NVIDIA H100 PCIe", False),
        ("a100-80", "NVIDIA A100-SXM4-80GB", True),
        ("rtx-4090", "NVIDIA GeForce RTX 4090", True),
        ("rtx-4090", "NVIDIA GeForce RTX 3090", False),
        ("l4", "NVIDIA L4", True),
        ("l4", "NVIDIA L40S", False),
    ],
)
def test_a_card_is_one_of_the_catalogue_by_its_whole_name(card, name, same):
    spec = load_device(card)
    assert is_card(spec, name, spec.memory_bytes) == same
    assert not is_card(spec, name, spec.memory_bytes // 2)


def test_memory_of_other_processes_counts_from_when_the_engine_was_opened():
    used, ours = {"bytes": 30 * GIB}, {"bytes": 20 * GIB}
    monitor = Monitor(
        100 * GIB, lambda: used["bytes"], lambda: ours["bytes"], rest_bytes=10 * GIB, before_bytes=2 * GIB
    )
    monitor.look()
    assert monitor.left_bytes is None
    used["bytes"], ours["bytes"] = 80 * GIB, 65 * GIB  # 45 GiB more are ours, 5 GiB those of other processes
    monitor.look()
    assert (monitor.taken_bytes, monitor.left_bytes) == (5 * GIB, 93 * GIB)
    used["bytes"] = 75 * GIB
    monitor.look()
    assert monitor.left_bytes is None
    assert monitor.peak_used_bytes == 80 * GIB
