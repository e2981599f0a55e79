"""The worked example of docs/extending/add_a_policy.md: one file and one line make a policy of the program."""

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from support.paths import REPOSITORY

POLICY = Path(__file__).parent / "add_a_policy" / "smallest_first.cpp"
LINE = "  POLICY(smallest_first) \\\n"
BEFORE = "  POLICY(paged) \\\n"

NEEDED = [tool for tool in ("cmake", "ninja") if not shutil.which(tool)]
NEEDED += ["pybind11"] if find_spec("pybind11") is None else []

SIMULATION = """
import json
from support.driving import Row, drive, memory
from warpgroup.csrc import parse_policy, policy_catalogue
from warpgroup.sim import ablation_steps

rows = [Row(0, prompt, 5) for prompt in (100, 300, 20, 60)]  # 7, 19, 2 and 4 blocks
outcome = drive("smallest-first(watermark=0)", rows, memory(20), max_new=10)
print(json.dumps({
    "ids": [info.id for info in policy_catalogue()],
    "order": parse_policy("smallest-first").build().switches()["order"],
    "steps": [
        [step.switch, str(step.policy)]
        for step in ablation_steps(parse_policy("smallest-first"), parse_policy("count-static"), max_seqs=256)
    ],
    "admitted": [request for plan in outcome.plans for request in plan[1]],
    "finished": sorted(outcome.finished),
}))
"""


def run(*command: str, **environment: str) -> str:
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package whose core has the policy of the example; the folder to import it from."""
    if NEEDED:
        pytest.skip(f"building the core needs {', '.join(NEEDED)}")
    folder = tmp_path_factory.mktemp("add_a_policy")
    core = folder / "warpgroup" / "csrc"
    shutil.copytree(REPOSITORY / "csrc", core, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    for entry in REPOSITORY.iterdir():
        if entry.name != "csrc" and (entry.suffix == ".py" or (entry / "__init__.py").exists()):
            (core.parent / entry.name).symlink_to(entry)

    policies = core / "src" / "scheduler" / "policies"
    shutil.copy(POLICY, policies)
    catalogue = policies / "catalogue.cpp"
    text = catalogue.read_text()
    assert text.count(BEFORE) == 1
    catalogue.write_text(text.replace(BEFORE, LINE + BEFORE))

    build = folder / "build"
    launcher = ["-DCMAKE_CXX_COMPILER_LAUNCHER=ccache"] if shutil.which("ccache") else []
    pybind11 = run(sys.executable, "-m", "pybind11", "--cmakedir").strip()
    options = ["-DSKBUILD=ON", "-DCMAKE_BUILD_TYPE=Release", "-DCMAKE_CXX_FLAGS_RELEASE=-O1"]
    options += [
        "-DCMAKE_INTERPROCEDURAL_OPTIMIZATION=OFF",
        f"-DPython_EXECUTABLE={sys.executable}",
        f"-Dpybind11_DIR={pybind11}",
        *launcher,
    ]
    run("cmake", "-S", str(core), "-B", str(build), "-G", "Ninja", *options)
    run("cmake", "--build", str(build), "--target", "_core", CCACHE_BASEDIR=str(folder), CCACHE_NOHASHDIR="1")
    for module in build.glob("_core*.so"):
        shutil.copy(module, core)
    return folder


@pytest.fixture(scope="module")
def simulated(package: Path) -> dict[str, object]:
    """What a simulation under the new policy gives, in a process of its own."""
    path = os.pathsep.join([str(package), str(REPOSITORY / "tests"), os.environ.get("PYTHONPATH", "")])
    return json.loads(run(sys.executable, "-c", SIMULATION, PYTHONPATH=path))


def test_one_file_and_one_line_make_a_policy(simulated):
    ids = simulated["ids"]
    assert ids[ids.index("smallest-first") + 1] == "paged"


def test_the_policy_has_the_switches_that_its_file_sets(simulated):
    assert simulated["order"] == "smallest-first"


def test_the_ablation_names_the_switches_of_the_policy(simulated):
    assert simulated["steps"][-2:] == [
        ["memory-aware", "paged"],
        ["watermark 1 % + smallest first", "smallest-first"],
    ]


def test_a_simulation_runs_under_the_policy(simulated):
    assert simulated["finished"] == [0, 1, 2, 3]
    assert simulated["admitted"] == [2, 3, 0, 1]
