"""What every class of the gate is given."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from . import builds
from .baseline import Figures
from .config import GateConfig


class SimulateFigures(Protocol):
    """Runs simulations and returns their figures. The command gives it: `reports` does not import the simulator."""

    def __call__(self, scenarios: Sequence[str], policies: Sequence[str], *, requests: int, folder: Path) -> Figures:
        """Simulate every scenario under every policy.

        Args:
            scenarios: built-in names, or TOML files relative to `folder`.
            requests: the first so many of each scenario; 0: all.
        """
        ...


@dataclass(frozen=True, slots=True)
class Gate:
    """One gate of a working tree.

    Attributes:
        path: of the configuration; the files that it names are relative to its folder.
        builds: folder of source trees, built packages and the calibration, kept between gates.
        base: the branch or commit to compare with.
        base_commit: the commit that head left `base` at; set by `run_gate` if a class needs it.
        only: names of the classes to measure; empty: all that are configured.
        command: the command line that asked for this gate.
        say: called with each message about what the gate is doing.
        note: called with each remark for the result.
    """

    config: GateConfig
    path: Path
    builds: Path
    simulate_figures: SimulateFigures
    base: str = "main"
    base_commit: str = ""
    only: Collection[str] = ()
    command: str = ""
    say: Callable[[str], None] = lambda text: None
    note: Callable[[str], None] = lambda text: None

    @property
    def root(self) -> Path:
        """The repository of the configuration. Raises InvalidScenario: there is none."""
        return builds.root_of(self.path)

    @property
    def baseline(self) -> Path:
        """The folder of accepted figures."""
        return self.path.parent / self.config.baseline

    def baseline_in_base(self) -> Path:
        """The same folder as the base commit has it. Raises ValueError: it lies outside of the repository."""
        root = self.root
        return builds.source_tree(root, self.base_commit, self.builds) / self.baseline.resolve().relative_to(
            root.resolve()
        )
