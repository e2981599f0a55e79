"""Shapes of models and devices: the built-in catalogue, and model folders."""

from .model_folder import model_named, read_model_folder
from .specs import (
    DEFAULT_DEVICE,
    DEFAULT_MODEL,
    DeviceSpec,
    ModelSpec,
    RopeScaling,
    device_names,
    load_device,
    load_model,
    model_names,
)

__all__ = [
    "DEFAULT_DEVICE",
    "DEFAULT_MODEL",
    "DeviceSpec",
    "ModelSpec",
    "RopeScaling",
    "device_names",
    "load_device",
    "load_model",
    "model_named",
    "model_names",
    "read_model_folder",
]
