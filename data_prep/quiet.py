"""TensorFlow without its words on stderr, and without a GPU: data preparation needs neither."""

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any


def import_tensorflow() -> Any:
    """Imports TensorFlow for use on the CPU; at its first import nothing is printed."""
    if "tensorflow" in sys.modules:
        return sys.modules["tensorflow"]
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with silent_stderr():
        import tensorflow as tf
    return tf


@contextlib.contextmanager
def silent_stderr() -> Iterator[None]:
    """Hides what is written to the file descriptor of stderr, by libraries in C++ too."""
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
