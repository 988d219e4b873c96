"""An index: a folder with the vectors of many images, their names, and where they come from.

    index.json    what it is; written last
    vectors.npy   float32 [N, ...]: a layer's outputs
    vectors.csv   names of the rows, and labels where they are known
    codes.npy     uint8 [N, bits / 8], and encoder.npz: with codes only

Searching maps `vectors.npy` into memory, so it may be larger than that.
"""

from __future__ import annotations

import csv
import json
import os
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from alexnet_common import files, folders
from alexnet_common.errors import UserError
from alexnet_tf.inference import extract, writers
from alexnet_tf.inference.images import Batch
from alexnet_tf.inference.network import Network
from alexnet_tf.model import build, placement
from alexnet_tf.retrieval import codes as binary
from alexnet_tf.retrieval import search

FACTS_FILE, VECTORS_FILE, CODES_FILE, ENCODER_FILE = (
    "index.json",
    "vectors.npy",
    "codes.npy",
    "encoder.npz",
)
FORMAT = "alexnet-tf index"
_CONTENTS = {
    FACTS_FILE,
    VECTORS_FILE,
    os.path.basename(writers.names_file(VECTORS_FILE)),
    CODES_FILE,
    ENCODER_FILE,
}


@dataclass(frozen=True, eq=False)
class Index:
    """An index that can be searched.

    Attributes:
        folder: where it lies.
        facts: of `index.json`: `layer`, `views`, `count`, `class_names`, the network's.
        names: of the images.
        labels: from 0; empty where nobody knows them.
        vectors: float32 [N, D], mapped into memory.
        codes: uint8 [N, bits / 8], or None.
        encoder: of the codes, or None.
    """

    folder: str
    facts: dict[str, Any]
    names: list[str]
    labels: list[int]
    vectors: np.ndarray
    codes: np.ndarray | None
    encoder: binary.Encoder | None

    def search(self, queries: np.ndarray, k: int, by_codes: bool = False) -> search.Nearest:
        """The k nearest of the index to vectors, float32 [Q, D]; all where it holds fewer.

        Raises:
            UserError: `by_codes`, and the index has none.
        """
        k = min(k, len(self.names))
        if not by_codes:
            return search.Nearest(queries, k).search(self.vectors)
        if self.encoder is None or self.codes is None:
            raise UserError(f"{self.folder} has no codes: build it with --code_bits=64")
        asked = self.encoder.encode(queries)
        return search.Nearest(asked, k, search.hamming).search(self.codes)


def check_replaceable(folder: str) -> None:
    """Refuses a target that is neither new nor empty nor a former index; raises UserError."""
    folders.recover(folder)
    if not os.path.lexists(folder):
        return
    if not os.path.isdir(folder):
        raise UserError(f"--index {folder} is not a folder")
    there = set(os.listdir(folder))
    if there and (_facts(folder) is None or not there <= _CONTENTS):
        raise UserError(f"--index {folder} holds something else than an index; use a new folder")


def make(
    folder: str,
    network: Network,
    batches: Iterable[Batch],
    layer: str,
    *,
    views: int = 1,
    code_bits: int = 0,
    seed: int = 0,
    facts: dict[str, Any] | None = None,
    progress: Callable[[int], None] = lambda count: None,
) -> tuple[Index, extract.Written]:
    """Writes the index of images, whole or not at all; a former index is replaced.

    Args:
        folder: to write.
        network: whose features are compared.
        batches: of the images.
        layer: whose outputs are the vectors.
        views: 1, or 10 whose outputs are averaged.
        code_bits: length of codes, learnt from these very vectors; 0: none.
        seed: of the auto-encoder.
        facts: where network and images come from, kept in `index.json`.
        progress: told after each batch how many images it held.

    Raises:
        UserError: an image or layer that cannot be, or `folder` holds something else.
    """
    search.faiss()
    if code_bits:
        binary.check_bits(code_bits)
    folder = folder.rstrip("/")
    check_replaceable(folder)
    with folders.atomic_folder(folder) as temporary:
        output = os.path.join(temporary, VECTORS_FILE)
        written = extract.extract(network, batches, [layer], output, views=views, progress=progress)
        if code_bits:
            vectors = _mapped(output)
            encoder = binary.train(vectors, code_bits, seed=seed)
            encoder.save(os.path.join(temporary, ENCODER_FILE))
            packed = files.array_to_bytes(encoder.encode(vectors))
            files.write_atomically(os.path.join(temporary, CODES_FILE), packed)
            del vectors
        document = {
            **(facts or {}),
            "format": FORMAT,
            "layer": layer,
            "views": views,
            "count": written.count,
            "code_bits": code_bits,
            "class_names": list(network.class_names),
            "fingerprint": fingerprint(network),
        }
        text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
        files.write_atomically(os.path.join(temporary, FACTS_FILE), text.encode())
    return load(folder), written


def load(folder: str) -> Index:
    """Opens an index.

    Raises:
        UserError: the folder is none, or it is damaged.
    """
    if not os.path.lexists(folder):
        folders.recover(folder)
    facts = _facts(folder)
    if facts is None:
        raise UserError(
            f"--index {folder} holds no index; python -m alexnet_tf.retrieve index writes one"
        )
    try:
        vectors = _mapped(os.path.join(folder, VECTORS_FILE))
        with open(
            writers.names_file(os.path.join(folder, VECTORS_FILE)), newline="", encoding="utf-8"
        ) as file:
            table = list(csv.DictReader(file))
        packed = None
        if facts["code_bits"]:
            packed = np.load(os.path.join(folder, CODES_FILE), mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise UserError(f"--index {folder} is damaged: {error}") from error
    names = [row["name"] for row in table]
    if not len(names) == len(vectors) == facts["count"]:
        raise UserError(f"--index {folder} is damaged: names and vectors differ in number")
    encoder = binary.load(os.path.join(folder, ENCODER_FILE)) if facts["code_bits"] else None
    labels = [int(row["label"]) for row in table if "label" in row]
    return Index(folder, facts, names, labels, vectors, packed, encoder)


def check_network(index: Index, network: Network) -> None:
    """Refuses a network whose features are not those of the index; raises UserError."""
    if fingerprint(network) != index.facts["fingerprint"]:
        raise UserError(
            f"{network.run.folder} has other weights than those that made {index.folder} "
            f"({index.facts.get('source')}, step {index.facts.get('step')}): build the index anew"
        )


def fingerprint(network: Network) -> int:
    """A checksum of all weights and of the mean that is subtracted."""
    total = zlib.crc32(np.ascontiguousarray(network.run.prepare.mean).tobytes())
    for name, variable in sorted(build.named_variables(network.model).items()):
        value = placement.tensorflow_variable(variable).numpy()
        total = zlib.crc32(np.ascontiguousarray(value).tobytes(), zlib.crc32(name.encode(), total))
    return total


def _mapped(path: str) -> np.ndarray:
    vectors: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    return vectors.reshape(len(vectors), -1)


def _facts(folder: str) -> dict[str, Any] | None:
    try:
        facts = json.loads(files.read_bytes(os.path.join(folder, FACTS_FILE)))
    except (OSError, ValueError):
        return None
    return facts if isinstance(facts, dict) and facts.get("format") == FORMAT else None
