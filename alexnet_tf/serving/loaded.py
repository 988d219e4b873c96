"""An exported network in this process: files in, rows of outputs out, one error per file.

What an image becomes is decided before TensorFlow's decoders see it, by the rule of
`data_prep.pixels`, which converted the training images; files that those decoders read otherwise
than the converter are decoded by the converter's own code.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from alexnet_common.errors import UserError
from alexnet_tf.devices import required
from alexnet_tf.serving import export_folder
from data_prep.pixels import headers, images
from data_prep.pixels.errors import ImageError
from data_prep.pixels.headers import Header

DEFAULT = "serving_default"
_BYTES, _PIXELS = "image_bytes", "images"
# What a signature of files does with squares, by its name; and what the first exports called it.
_OF_PIXELS = {
    DEFAULT: "classify_pixels",
    "ten_view": "ten_views_of_pixels",
    "features": "features_of_pixels",
}
_BEST = ("top_5_names", "top_5_titles", "top_5_labels", "top_5_probabilities")
_BLANKS: dict[str, Any] = {"f": 0.0, "i": -1, "O": b""}

Rows = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Squares:
    """Image files as the network's square pixels.

    Attributes:
        pixels: uint8 [B, S, S, 3], zeros where a file is refused.
        errors: why, per file; empty where all is well.
    """

    pixels: np.ndarray
    errors: list[str]


class LoadedModel:
    """An export that was loaded.

    Attributes:
        folder: of the SavedModel.
        version: its number, 1 where it has none.
        facts: `export.json`, empty for a SavedModel of somebody else.
        signatures: TensorFlow's functions by name.
    """

    def __init__(self, folder: Path, version: int, loaded: Any):
        self.folder, self.version = folder, version
        self.facts: Mapping[str, Any] = export_folder.read_facts(folder) or {}
        self.signatures: Mapping[str, Any] = loaded.signatures
        # It owns the variables that the signatures read.
        self._loaded = loaded

    @property
    def image_size(self) -> int:
        """Side of the squares in pixels."""
        return int(self.facts["image_size"])

    def takes_files(self, signature: str) -> bool:
        """Whether a signature is one that `of_files` computes: our own, of image files."""
        return bool(self.facts) and signature in _OF_PIXELS and signature in self.signatures

    def squares(
        self, contents: Sequence[bytes], inspected: Sequence[Header | str] | None = None
    ) -> Squares:
        """Decodes and resizes image files as the converter does.

        Args:
            contents: of the files.
            inspected: what `inspect` said of each; with a text in place of a header the file is
                refused for that reason.
        """
        headers = [inspect(content) for content in contents] if inspected is None else inspected
        errors = [header if isinstance(header, str) else "" for header in headers]
        pixels = np.zeros((len(contents), self.image_size, self.image_size, 3), np.uint8)
        turn = self.facts.get("exif_orientation", "ignore")
        in_graph = []
        for index, header in enumerate(headers):
            if isinstance(header, str):
                continue
            # The first exports have no function that makes squares.
            if header.in_tensorflow and hasattr(self._loaded, "squares"):
                in_graph.append(index)
                continue
            try:
                pixels[index] = images.square_pixels(contents[index], self.image_size, turn)
            except ImageError as error:
                errors[index] = str(error)
        if in_graph:
            outputs = self._loaded.squares(tf.constant([contents[index] for index in in_graph]))
            pixels[in_graph] = outputs["images"].numpy()
            for index, text in zip(in_graph, outputs["error"].numpy(), strict=True):
                errors[index] = text.decode()
        return Squares(pixels, errors)

    def of_pixels(self, signature: str, pixels: np.ndarray) -> Rows:
        """What a signature of files yields for squares, uint8 [B, S, S, 3]."""
        if not len(pixels):
            specs = self.signatures[signature].structured_outputs
            return {name: _no_rows(spec) for name, spec in specs.items()}
        function = getattr(self._loaded, _OF_PIXELS[signature], None)
        if function is None:
            function = self.signatures[_PIXELS]
        return {name: value.numpy() for name, value in function(images=pixels).items()}

    def of_files(self, signature: str, contents: Sequence[bytes]) -> Rows:
        """What a signature yields for image files: in rows that are not valid blanks, and why."""
        squares = self.squares(contents)
        valid = [index for index, error in enumerate(squares.errors) if not error]
        return spread(self.of_pixels(signature, squares.pixels[valid]), squares.errors)

    def warm_up(self) -> None:
        """Runs the network once, so that the first client does not wait for TensorFlow's start."""
        blank = np.zeros((1, self.image_size, self.image_size, 3), np.uint8)
        self.of_pixels(DEFAULT, blank)
        if hasattr(self._loaded, "squares"):
            self._loaded.squares(tf.constant([b""]))

    def call(self, signature: str, inputs: Mapping[str, np.ndarray]) -> Rows:
        """Any signature with its inputs by name.

        Raises:
            UserError: TensorFlow refuses them.
        """
        tensors = {name: tf.constant(value) for name, value in inputs.items()}
        try:
            outputs = self.signatures[signature](**tensors)
        except (tf.errors.OpError, ValueError, TypeError) as error:
            raise UserError(reason(error)) from error
        return {name: value.numpy() for name, value in outputs.items()}

    def best(self, outputs: Mapping[str, np.ndarray], row: int) -> list[dict[str, Any]]:
        """The best classes of one row: `name`, `title`, `label` (from 0), `probability`."""
        names, titles, labels, probabilities = (outputs[name][row] for name in _BEST)
        return [
            {
                "name": name.decode(),
                "title": title.decode(),
                "label": int(label),
                "probability": float(probability),
            }
            for name, title, label, probability in zip(
                names, titles, labels, probabilities, strict=True
            )
        ]


def inspect(content: bytes) -> Header | str:
    """What the header of an image file says, or why the file is refused; decodes nothing."""
    try:
        return headers.inspect(content)
    except ImageError as error:
        return str(error)


def load(path: str, version: int | None = None) -> LoadedModel:
    """Loads an export, or the newest version in a folder of exports by version.

    Args:
        path: what `export` wrote to.
        version: another version than the newest.

    Raises:
        UserError: nothing there, not an export, or damaged.
    """
    required.check()
    folder, number = export_folder.model_folder(Path(path), version)
    if not (folder / "saved_model.pb").is_file():
        which = f"no version {version}" if version is not None else "no SavedModel"
        advice = export_folder.advice(Path(path))
        raise UserError(f"--model {path} holds {which}; {advice}")
    try:
        loaded = tf.saved_model.load(str(folder))
    except Exception as error:
        # At damaged bytes TensorFlow may raise anything: KeyError, IndexError, RuntimeError.
        raise UserError(f"--model {folder} is damaged: {reason(error)}") from error
    model = LoadedModel(folder, number, loaded)
    signature = model.signatures.get(DEFAULT)
    wanted = {"probabilities", *_BEST}
    if signature is None or not wanted <= set(signature.structured_outputs) or not model.facts:
        raise UserError(
            f"--model {folder} is a SavedModel of another kind; "
            "python -m alexnet_tf.export writes one that fits"
        )
    if not isinstance(model.facts.get("image_size"), int):
        raise UserError(f"--model {folder} is damaged: its {export_folder.FACTS_FILE} has no size")
    return model


def spread(rows: Mapping[str, np.ndarray], errors: Sequence[str]) -> Rows:
    """Puts the rows of valid files back among those that are not.

    Args:
        rows: of the valid files only, in their order.
        errors: of all files; empty for the valid ones.

    Returns:
        Rows of all files, and `valid` and `error`.
    """
    valid = np.array([not error for error in errors], bool)
    texts = np.array([error.encode() for error in errors], object)
    result: Rows = {"valid": valid, "error": texts}
    for name, values in rows.items():
        if name not in result:
            blank = _BLANKS[values.dtype.kind]
            result[name] = np.full((len(errors), *values.shape[1:]), blank, values.dtype)
            result[name][valid] = values
    return result


def reason(error: Exception) -> str:
    """TensorFlow's message without the names of nodes and traces around it: its last line."""
    text = getattr(error, "message", None) or str(error)
    text = re.sub(r"\{\{.*?\}\}|\[\[.*?\]\]|\[Op:.*?\]", " ", text)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1].rstrip(".")[:200] if lines else "unknown reason"


def _no_rows(spec: Any) -> np.ndarray:
    """What a batch of no rows yields, which TensorFlow's convolutions refuse."""
    dtype = object if spec.dtype == tf.string else spec.dtype.as_numpy_dtype
    return np.empty((0, *spec.shape[1:]), dtype)
