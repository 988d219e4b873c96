"""Small JSON files that say what was finished, beside the shards and checked when read.

They lie in `<dataset folder>/.conversion`: `plan.json` (which conversion owns the folder), one
`<shard>.records.json` per finished shard and one `<shard>.statistics.json` per shard of the
training split. A sidecar that is damaged, or of another plan, counts as not there.
"""

import base64
import builtins
import dataclasses
import hashlib
import json
import zlib
from typing import Any

import numpy as np

from alexnet_common import files
from data_prep.shards.statistics import PixelSums

FOLDER = ".conversion"


@dataclasses.dataclass(frozen=True)
class Records:
    """A finished shard: the file, the payload lengths of its records, classes, and what is not in.

    `class_counts` maps class index to number of images; `skipped` holds (key, reason). `rotated`
    and `enlarged` count what `making.Oddities` names; 0 in sidecars that were written before.
    `digests` are those of `repeats.digest`, joined in the order of the records; b"" in sidecars
    that were written before.
    """

    name: str
    count: int
    bytes: int
    sha256: str
    payload_lengths: tuple[int, ...]
    class_counts: dict[int, int]
    skipped: tuple[tuple[str, str], ...]
    rotated: int
    enlarged: int
    digests: builtins.bytes = b""


def folder(output_dir: str) -> str:
    """Where the sidecars of a dataset folder lie."""
    return files.join(output_dir, FOLDER)


def write_records(output_dir: str, fingerprint: str, records: Records) -> None:
    """Marks a shard as finished."""
    fields = dataclasses.asdict(records)
    # JSON's keys are texts; integers would read back with another digest.
    fields["class_counts"] = {str(index): n for index, n in records.class_counts.items()}
    fields["digests"] = base64.b64encode(records.digests).decode()
    _write(_path(output_dir, records.name, "records"), fingerprint, fields)


def read_records(output_dir: str, fingerprint: str, shard_name: str) -> Records | None:
    """What `write_records` wrote for this plan, or None."""
    try:
        fields = _read(_path(output_dir, shard_name, "records"), fingerprint)
        if fields is None:
            return None
        return Records(
            name=fields["name"],
            count=fields["count"],
            bytes=fields["bytes"],
            sha256=fields["sha256"],
            payload_lengths=tuple(fields["payload_lengths"]),
            class_counts={int(index): n for index, n in fields["class_counts"].items()},
            skipped=tuple((key, reason) for key, reason in fields["skipped"]),
            rotated=fields.get("rotated", 0),
            enlarged=fields.get("enlarged", 0),
            digests=_digests(fields),
        )
    except (KeyError, TypeError, ValueError):
        return None


def _digests(fields: dict[str, Any]) -> bytes:
    """Of every record, or b""."""
    digests = base64.b64decode(fields.get("digests", ""))
    if len(digests) not in (0, 8 * fields["count"]):
        raise ValueError("digests of other records")
    return digests


def write_statistics(output_dir: str, fingerprint: str, shard_name: str, sums: PixelSums) -> None:
    """Keeps the exact sums of one shard's images."""
    # One shard's sums fit 32 bits (16.8 million images at 255).
    image = zlib.compress(sums.image.astype("<u4").tobytes(), 1)
    fields = {
        "count": sums.count,
        "shape": list(sums.image.shape),
        "image": base64.b64encode(image).decode(),
        "products": sums.products.tolist(),
    }
    _write(_path(output_dir, shard_name, "statistics"), fingerprint, fields)


def read_statistics(output_dir: str, fingerprint: str, shard_name: str) -> PixelSums | None:
    """What `write_statistics` wrote for this plan, or None."""
    try:
        fields = _read(_path(output_dir, shard_name, "statistics"), fingerprint)
        if fields is None:
            return None
        image = zlib.decompress(base64.b64decode(fields["image"]))
        return PixelSums(
            fields["count"],
            np.frombuffer(image, "<u4").reshape(fields["shape"]).astype(np.uint64),
            np.array(fields["products"], np.int64).reshape(3, 3),
        )
    except (KeyError, TypeError, ValueError, zlib.error):
        return None


def _path(output_dir: str, shard_name: str, what: str) -> str:
    return files.join(folder(output_dir), f"{shard_name}.{what}.json")


def _write(path: str, fingerprint: str, fields: dict[str, Any]) -> None:
    content = {"plan": fingerprint, **fields}
    content["check"] = _digest(content)
    files.write_atomically(path, json.dumps(content).encode())


def _read(path: str, fingerprint: str) -> dict[str, Any] | None:
    try:
        content = json.loads(files.read_bytes(path))
    except (OSError, ValueError):
        return None
    if not isinstance(content, dict) or content.get("plan") != fingerprint:
        return None
    check = content.pop("check", None)
    return content if check == _digest(content) else None


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
