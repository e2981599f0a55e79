"""The commands that list what can be chosen: `policies`, `models` and `devices`."""

from ..csrc import policy_catalogue
from ..workloads import device_names, load_device, load_model, model_names
from . import terminal
from .help import examples
from .options import JsonOption
from .tables.catalogues import show_devices, show_models, show_policies

POLICIES_EXAMPLES = examples("warpgroup policies", "warpgroup policies --json")
MODELS_EXAMPLES = examples("warpgroup models", "warpgroup models --json")
DEVICES_EXAMPLES = examples("warpgroup devices", "warpgroup devices --json")


def policies_command(json: JsonOption = False) -> None:
    """List the batching policies: what each stands for, when it admits a request, and its parameters."""
    infos = policy_catalogue()
    if not json:
        show_policies(infos)
        return
    terminal.print_json(
        [
            {
                "id": info.id,
                "stands_for": info.stands_for,
                "engine": info.engine,
                "formula": info.formula,
                "parameters": {p.name: {"default": p.default, "meaning": p.meaning} for p in info.parameters},
            }
            for info in infos
        ]
    )


def models_command(json: JsonOption = False) -> None:
    """List the models whose shapes are built in."""
    specs = [load_model(name) for name in model_names()]
    if json:
        terminal.print_json(specs)
    else:
        show_models(specs)


def devices_command(json: JsonOption = False) -> None:
    """List the devices and the source of their figures."""
    specs = [load_device(name) for name in device_names()]
    if json:
        terminal.print_json(specs)
    else:
        show_devices(specs)
