"""TensorFlow's import without its notes on stderr, and without a user's settings of Keras."""

from __future__ import annotations

import glob
import importlib
import os
import sys
import tempfile
import threading
from typing import Any

from alexnet_common import environment, installed
from alexnet_common.messages import log

_CACHE_FLAG = "--tf_xla_persistent_cache_directory"
_IMPORTING = threading.Lock()


def import_tensorflow() -> None:
    """Imports TensorFlow, and Keras with it, quietly and with Keras' own defaults.

    Commands call this before they import modules that need TensorFlow. If the import fails,
    the notes are shown.
    """
    if not glob.glob("/dev/nvidia*") and not os.path.exists("/dev/dxg"):
        # Without a GPU driver every process would report a failed call into CUDA as an error.
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
    # Beam's workers may be threads. A module that another thread is importing is in sys.modules.
    with _IMPORTING:
        if "tensorflow" not in sys.modules:
            _import_quietly()


def _import_quietly() -> None:
    keep_compiled_programs()
    sys.stderr.flush()
    stderr = os.dup(2)
    with _scratch_file() as notes:
        os.dup2(notes.fileno(), 2)
        try:
            with environment.without_keras_settings():
                importlib.import_module("tensorflow")
                importlib.import_module("keras")
        except KeyboardInterrupt:
            # Whoever stops a command asked for no notes.
            raise
        except BaseException:
            notes.seek(0)
            os.write(stderr, notes.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


def keep_compiled_programs() -> None:
    """Lets XLA keep what it compiles in the folder that ALEXNET_XLA_CACHE names.

    A restart then does not compile the step again: 20 to 50 s on a GPU. TensorFlow reads its flags
    once, when it first compiles. The programs fit one machine and one TensorFlow only, and nobody
    removes old ones: so there is no folder unless one is named. TensorFlow 2.15 compiles nothing
    for CPUs with such a folder, so the second stack goes without.
    """
    folder = os.environ.get("ALEXNET_XLA_CACHE")
    flags = os.environ.get("TF_XLA_FLAGS", "")
    if folder and installed.version("tensorflow").startswith("2.15"):
        log(
            "note: ALEXNET_XLA_CACHE is left out: TensorFlow 2.15 compiles nothing for CPUs with it"
        )
        return
    if folder and _CACHE_FLAG not in flags:
        os.makedirs(folder, exist_ok=True)
        os.environ["TF_XLA_FLAGS"] = f"{flags} {_CACHE_FLAG}={folder}".strip()


def _scratch_file() -> Any:
    """A file in memory, so that a read-only disk is none of its business; else a temporary one."""
    if hasattr(os, "memfd_create"):
        return open(os.memfd_create("notes"), "w+b")
    return tempfile.TemporaryFile()


def import_on_cpu() -> Any:
    """Imports TensorFlow without a GPU, which data preparation does not need."""
    if "tensorflow" not in sys.modules:
        os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import_tensorflow()
    return sys.modules["tensorflow"]
