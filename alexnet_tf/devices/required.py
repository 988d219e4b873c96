"""ALEXNET_REQUIRE_GPU: what computes ends at once where a GPU was forgotten.

The GPU image sets it, since a container that was started without `--gpus` would train, evaluate or
serve on the CPU, days longer, and nobody notices.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

import tensorflow as tf

from alexnet_common.errors import UserError

VARIABLE = "ALEXNET_REQUIRE_GPU"


def check(environment: Mapping[str, str] = os.environ) -> None:
    """Does nothing unless ALEXNET_REQUIRE_GPU=1 and TensorFlow sees no GPU.

    Raises:
        UserError: no GPU, or a value that is neither 0 nor 1.
    """
    value = environment.get(VARIABLE, "")
    if value not in ("", "0", "1"):
        raise UserError(f"{VARIABLE} must be 0 or 1, not {value!r}")
    if value == "1" and not tf.config.list_physical_devices("GPU"):
        raise UserError(
            f"no GPU is visible, and {VARIABLE}=1 asks for one: start the container with "
            "docker run --gpus all (the host needs NVIDIA's driver and Container Toolkit); "
            f"to compute on the CPU all the same: -e {VARIABLE}=0"
        )
