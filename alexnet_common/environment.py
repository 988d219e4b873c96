"""What the environment of a user must not change: standard streams, Keras' own settings.

A command computes the same whatever stands in `~/.keras/keras.json`, and works without a terminal,
in any locale, and with standard streams that are closed.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

# Read when Keras is imported. The file keras.json lies in KERAS_HOME, and is made there if there is
# none: a place that is not a folder holds none, and none is made there.
_FOR_KERAS = {"KERAS_BACKEND": "tensorflow", "KERAS_HOME": os.devnull}


def prepare_streams() -> None:
    """Makes stdin, stdout and stderr usable, whatever this process was started with.

    A closed one becomes the null device. Otherwise the next file that is opened would take its
    number, and what libraries write to "stderr" would go into that file. What a stream's encoding
    does not have is written as an escape instead of ending the command.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # The lowest free number is what a new file gets.
            os.open(os.devnull, os.O_RDWR)
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", closefd=False)
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)
    for stream in (sys.stdout, sys.stderr):
        if getattr(stream, "errors", "") == "strict" and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


@contextlib.contextmanager
def without_keras_settings() -> Iterator[None]:
    """While entered, an import of Keras reads no settings of the user: no file, no variables.

    Everything here is float32, channels last, on TensorFlow, unless a recipe says otherwise.
    """
    theirs = {name: value for name, value in os.environ.items() if name.startswith("KERAS_")}
    for name in theirs:
        del os.environ[name]
    os.environ.update(_FOR_KERAS)
    # Decides what `tf.keras` is, when that is first asked for.
    os.environ.pop("TF_USE_LEGACY_KERAS", None)
    try:
        yield
    finally:
        for name in _FOR_KERAS:
            del os.environ[name]
        os.environ.update(theirs)
