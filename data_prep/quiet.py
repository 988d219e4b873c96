"""TensorFlow without its words on stderr, and without a GPU: data preparation needs neither."""

import os
import sys
from typing import Any

from data_prep import command


def import_tensorflow() -> Any:
    """Imports TensorFlow for use on the CPU; at its first import nothing is printed."""
    if "tensorflow" not in sys.modules:
        os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        command.import_tensorflow()
    return sys.modules["tensorflow"]
