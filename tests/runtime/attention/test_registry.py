"""The registry of attention backends: names without torch, and the choice for a machine."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import warpgroup.runtime.attention
from warpgroup.errors import DeviceUnavailable
from warpgroup.runtime import choose_attention, open_machine
from warpgroup.runtime.attention import choice
from warpgroup.runtime.attention.interface import Attention
from warpgroup.runtime.attention.registry import BACKENDS, REGISTRY, Backend
from warpgroup.runtime.attention.sdpa import SdpaAttention
from warpgroup.workloads import load_model

FOLDER = Path(warpgroup.runtime.attention.__file__).parent
CPU, TINY, LARGE = open_machine("cpu"), load_model("tiny"), load_model("qwen2.5-7b")


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_names_are_listed_without_torch():
    code = "import sys; sys.modules['torch'] = None; from warpgroup.runtime import BACKENDS; print(*BACKENDS)"
    assert python(code).stdout.split() == ["auto", "paged", "flash", "torch-flash", "sdpa"]


def test_without_torch_the_command_that_installs_it_is_named():
    done = python("import sys; sys.modules['torch'] = None; from warpgroup.runtime import open_machine")
    assert "running a model needs torch, which is not installed: run pip install '.[runtime]' in a clone" in done.stderr
    assert "DeviceUnavailable" in done.stderr


@pytest.mark.parametrize("name", REGISTRY)
def test_each_backend_is_a_class_of_its_module(name):
    """Read from the source, since some modules need packages that are not installed here."""
    tree = ast.parse((FOLDER / f"{REGISTRY[name].module}.py").read_text())
    assert REGISTRY[name].kind in {node.name for node in tree.body if isinstance(node, ast.ClassDef)}


def test_the_last_backend_needs_nothing_so_auto_always_finds_one():
    last = REGISTRY[BACKENDS[-1]]
    assert not last.needs_flash_model
    assert last.package is None
    assert isinstance(choose_attention("auto", CPU, TINY), SdpaAttention)


def test_auto_takes_the_first_backend_that_can_run(monkeypatch):
    obstacles = {"paged": "is missing", "flash": "is missing", "sdpa": ""}
    monkeypatch.setattr(choice, "_obstacle", lambda name, machine, spec: obstacles.get(name, ""))
    assert choose_attention("auto", CPU, LARGE).name == "FlashAttention-2 (torch)"


@pytest.mark.parametrize(("name", "missing"), [("flash", "flash_attn_2_cuda"), ("paged", "triton")])
def test_a_module_that_is_missing_is_named_with_the_command_that_installs_it(name, missing, monkeypatch):
    monkeypatch.setattr(choice, "_is_flash_model", lambda machine, spec: True)
    for module in ("flash_attn_2_cuda", "triton"):
        monkeypatch.setitem(sys.modules, module, None if module == missing else type(sys)(module))
    needed = (
        rf"--attention {name} needs flash-attn 2\.8\.3, but the module {missing} cannot be imported: "
        r"run pip install --no-build-isolation '\.\[flash\]' in a clone"
    )
    with pytest.raises(DeviceUnavailable, match=needed):
        choose_attention(name, CPU, LARGE)


def test_flash_does_not_need_triton(monkeypatch):
    monkeypatch.setattr(choice, "_is_flash_model", lambda machine, spec: True)
    monkeypatch.setitem(sys.modules, "flash_attn_2_cuda", type(sys)("flash_attn_2_cuda"))
    monkeypatch.setitem(sys.modules, "triton", None)
    assert not choice._obstacle("flash", CPU, LARGE)


def test_a_new_backend_is_one_class_and_one_row(monkeypatch):
    class Mine(SdpaAttention):
        name = "mine"

    module = type(sys)("warpgroup.runtime.attention.mine")
    module.Mine = Mine
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(REGISTRY, "mine", Backend("mine", "Mine"))
    monkeypatch.setattr(choice, "BACKENDS", ("auto", *REGISTRY))
    chosen: Attention = choose_attention("mine", CPU, TINY)
    assert chosen.name == "mine"
