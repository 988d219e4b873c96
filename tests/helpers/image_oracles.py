"""One image file through the converter, Pillow, OpenCV and an exported network, in this process.

Runs in a process of its own (`tests.corpus`), because the question is also whether it survives.
"""

from __future__ import annotations

import io
import os
import resource
import warnings
from typing import Any

import numpy as np

# Decoders round differently: two of 255 anywhere (CMYK), and more at so few values as where an
# inverse DCT or a chroma filter differs.
NEAR = 2
FEW = 0.002


def measure_memory(function: Any, *arguments: Any) -> tuple[Any, int]:
    """The function's result, and the peak of this process's memory while it ran."""
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    except OSError:
        pass  # then the peak is that of all files so far
    result = function(*arguments)
    return result, _peak()


def _peak() -> int:
    try:
        with open("/proc/self/status") as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def converter(path: str, size: int) -> dict[str, Any]:
    """What the converter makes of a file: its square, or its reason."""
    from data_prep.pixels import images
    from data_prep.pixels.errors import ImageError

    try:
        square, header = images.square(_read(path), size)
    except ImageError as error:
        return {"refused": str(error)}
    return {"square": square, "kind": header.kind, "in_tensorflow": header.in_tensorflow}


def others(path: str) -> dict[str, str]:
    """How the converter's pixels compare with Pillow's and OpenCV's: one word or more for each."""
    from data_prep.pixels import images
    from data_prep.pixels.errors import ImageError

    data = _read(path)
    try:
        ours = images.decode(data)
    except ImageError:
        ours = None
    theirs = {"Pillow": _pillow(data), "OpenCV": _opencv(data)}
    return {name: _compared(ours, pixels, data) for name, pixels in theirs.items()}


class Exported:
    """An exported network, called with the bytes of a file and with the converter's pixels."""

    def __init__(self, folder: str) -> None:
        import tensorflow as tf

        self._tf = tf
        self._model = tf.saved_model.load(folder)

    def answers(self, path: str, square: np.ndarray | None) -> dict[str, Any]:
        """Probabilities from the file's bytes (or the reason) and from the converter's square."""
        tf = self._tf
        result: dict[str, Any] = {}
        try:
            found = self._model.signatures["serving_default"](
                image_bytes=tf.constant([_read(path)])
            )
            if found["valid"].numpy()[0]:
                result["bytes"] = found["probabilities"].numpy()[0]
            else:
                result["refused"] = found["error"].numpy()[0].decode("utf-8", "replace")
        except tf.errors.OpError as error:
            result["refused"] = str(error.message).splitlines()[0][:150]
        if square is not None:
            found = self._model.signatures["images"](images=tf.constant(square[None]))
            result["pixels"] = found["probabilities"].numpy()[0]
        return result


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _pillow(data: bytes) -> np.ndarray | None:
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(io.BytesIO(data)) as image:
                return np.asarray(image.convert("RGB"))
        except Exception:
            return None


def _opencv(data: bytes) -> np.ndarray | None:
    os.environ["OPENCV_LOG_LEVEL"] = "OFF"
    import cv2

    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags) if data else None
    except cv2.error:
        return None
    return None if pixels is None else pixels[:, :, ::-1]


def _compared(ours: np.ndarray | None, theirs: np.ndarray | None, data: bytes) -> str:
    if ours is None or theirs is None:
        return "both refuse" if ours is theirs else "refuses" if theirs is None else "reads it"
    if ours.shape != theirs.shape:
        return f"has {theirs.shape[1]}x{theirs.shape[0]}, not {ours.shape[1]}x{ours.shape[0]}"
    difference = np.abs(ours.astype(np.int16) - theirs)
    if data[:3] == b"GIF":
        # Where nothing is drawn a GIF has no colour; ours is black.
        difference = difference[ours.any(axis=2)]
    far = difference > NEAR
    if not far.any():
        return "same"
    share = float(far.mean())
    worst = int(difference.max())
    return "near" if share <= FEW else f"differs at {share:.1%} of the values, by up to {worst}"
