"""Tests of the runtime need torch. Without it, none of them is collected."""

import importlib.util
import os

if importlib.util.find_spec("torch") is None:
    collect_ignore_glob = ["*"]
else:
    import torch

    torch.set_num_threads(1)  # the models are tiny, and pytest-xdist uses the cores

# Triton's interpreter runs the kernels on the CPU. Triton reads this when a kernel is defined.
os.environ["TRITON_INTERPRET"] = "1"
