"""The runtime needs torch, which most test set-ups have not: then none of this is collected."""

import importlib.util
import os

if importlib.util.find_spec("torch") is None:
    collect_ignore_glob = ["test_*.py"]
else:
    import torch

    torch.set_num_threads(1)  # the models are tiny, and pytest-xdist takes the cores

# Triton's kernels run on the CPU, interpreted; it asks when they are defined.
os.environ["TRITON_INTERPRET"] = "1"
