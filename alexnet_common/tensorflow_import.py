"""TensorFlow's import without the notes that it writes to stderr whatever its settings say."""

from __future__ import annotations

import glob
import importlib
import os
import sys
import tempfile
from typing import Any


def import_tensorflow() -> None:
    """Imports TensorFlow without the notes that it writes to stderr whatever its settings say.

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
            importlib.import_module("tensorflow")
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
