"""TensorFlow's import without its notes on stderr, and without a user's settings of Keras."""

from __future__ import annotations

import glob
import importlib
import os
import sys
import tempfile
from typing import Any

from alexnet_common import environment


def import_tensorflow() -> None:
    """Imports TensorFlow, and Keras with it, quietly and with Keras' own defaults.

    Commands call this before they import modules that need TensorFlow. If the import fails,
    the notes are shown.
    """
    if not glob.glob("/dev/nvidia*") and not os.path.exists("/dev/dxg"):
        # Without a GPU driver every process would report a failed call into CUDA as an error.
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
    if "tensorflow" in sys.modules:
        return
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as notes:
        os.dup2(notes.fileno(), 2)
        try:
            with environment.without_keras_settings():
                importlib.import_module("tensorflow")
                importlib.import_module("keras")
        except BaseException:
            notes.seek(0)
            os.write(stderr, notes.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


def import_on_cpu() -> Any:
    """Imports TensorFlow without a GPU, which data preparation does not need."""
    if "tensorflow" not in sys.modules:
        os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        import_tensorflow()
    return sys.modules["tensorflow"]
