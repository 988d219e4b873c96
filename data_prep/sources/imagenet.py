"""What is particular to ILSVRC: its development kit, its numbers, its published sizes.

The devkit numbers the classes 1..1000 in an order of its own (`ILSVRC2012_ID`), which is not the
sorted order of the WordNet ids; its ground truth holds these numbers, one line per validation
image in the order of their names. Confusing the two orders gives a network that seems not to learn.
"""

import dataclasses
import gzip
import hashlib
import io
import os
import re
import tarfile
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from alexnet_common import files
from alexnet_common.errors import UserError, one_line
from data_prep.sources import matlab

# name: (bytes, MD5), as torchvision checks them (reference: docs/data.md).
PUBLISHED_ARCHIVES = {
    "ILSVRC2012_img_train.tar": (147_897_477_120, "1d675b47d978889d74fa0da5fadfb00e"),
    "ILSVRC2012_img_val.tar": (6_744_924_160, "29b22e2961454d5413ddabcf34fc5622"),
    "ILSVRC2012_devkit_t12.tar.gz": (None, "fa75699e90414af021442c21a62c3abf"),
}
DEVKIT_PATTERN = re.compile(r"ILSVRC20\d\d_devkit.*\.tar\.gz")
_MAX_MEMBER_BYTES = 1 << 26
# Of a devkit, lists of images included.
_MAX_UNPACKED_BYTES = 1 << 28


@dataclasses.dataclass(frozen=True)
class Devkit:
    """A development kit: classes in devkit order, and the ground truth of the validation images.

    Attributes:
        class_names: WordNet ids; the class of ID i is `class_names[i - 1]`.
        class_titles: the same in words.
        validation_ids: ID of every validation image, in the order of the file names; empty if the
            kit has no ground truth.
    """

    class_names: tuple[str, ...]
    class_titles: tuple[str, ...]
    validation_ids: tuple[int, ...]


def find_devkit(beside: str) -> str | None:
    """The devkit in the folder of `beside`, if there is exactly one."""
    folder = os.path.dirname(os.path.abspath(beside))
    try:
        kits = [name for name in os.listdir(folder) if DEVKIT_PATTERN.fullmatch(name)]
    except OSError:
        return None
    return os.path.join(folder, kits[0]) if len(kits) == 1 else None


def read_devkit(path: str) -> Devkit:
    """Reads `ILSVRC20??_devkit*.tar.gz`, or the folder that it unpacks to.

    Raises:
        UserError: it is missing, damaged, or holds no synsets.
    """
    read = _folder_reader(path) if os.path.isdir(path) else _archive_reader(path)
    meta = read(r"(.*/)?data/meta\.mat")
    if meta is None:
        raise UserError(f"{path}: holds no data/meta.mat, so it is not an ILSVRC devkit")
    try:
        names, titles = _synsets(meta)
    except (matlab.MatlabError, KeyError, ValueError, OverflowError) as error:
        what = f"it does not have {error}" if isinstance(error, KeyError) else str(error)
        raise UserError(f"{path}: data/meta.mat is damaged ({what})") from error
    truth = read(r"(.*/)?data/ILSVRC20\d\d_validation_ground_truth\.txt")
    words = "" if truth is None else truth.decode("ascii", "replace")
    ids = parse_ids(list(enumerate(words.split(), 1)), path)
    if ids and max(ids) > len(names):
        raise UserError(f"{path}: the ground truth names class {max(ids)} of {len(names)}")
    return Devkit(names, titles, ids)


def ground_truth(
    path: str, ids: Sequence[int], names: Sequence[str], devkit: Devkit
) -> dict[str, str]:
    """Line i belongs to the i-th image in the order of names.

    Raises:
        UserError: there are more or fewer lines than images.
    """
    if len(ids) != len(names):
        raise UserError(f"{path}: {len(ids):,} labels for {len(names):,} images")
    if ids and max(ids) > len(devkit.class_names):
        raise UserError(
            f"{path}: names class {max(ids)}, the devkit has {len(devkit.class_names):,}"
        )
    ordered = sorted(names)
    return {name: devkit.class_names[i - 1] for name, i in zip(ordered, ids, strict=True)}


def parse_ids(lines: Sequence[tuple[int, str]], path: str) -> tuple[int, ...]:
    """Devkit numbers, which count from 1, of numbered lines.

    Raises:
        UserError: a line is something else.
    """
    ids = []
    for number, word in lines:
        if not word.isdecimal() or len(word) > 20 or not 0 < int(word) < 100_000:
            raise UserError(
                f"{path}: ground truth line {number}: {word[:20]!r} is not a class; the devkit's "
                "are 1, 2, 3, ..."
            )
        ids.append(int(word))
    return tuple(ids)


def check_archive(path: str, checksum: bool) -> str | None:
    """Compares an archive of a published name with the published size, and on request its MD5.

    Returns:
        The comparison in one line, or None where nothing was compared: a file of another name, or
        one whose size is not published.

    Raises:
        UserError: the size or the checksum is another one.
    """
    published = PUBLISHED_ARCHIVES.get(os.path.basename(path))
    if published is None:
        return None
    size, md5 = published
    actual = os.path.getsize(path)
    if size is not None and actual != size:
        raise UserError(
            f"{path}: {actual:,} bytes, the published file has {size:,} (incomplete download?)"
        )
    if not checksum:
        if size is None:
            return None
        return f"{path}: {actual:,} bytes, as published; --checksums compares its MD5 too"
    digest = hashlib.md5(usedforsecurity=False)
    with open(path, "rb") as file:
        while piece := file.read(1 << 22):
            digest.update(piece)
    if digest.hexdigest() != md5:
        raise UserError(f"{path}: MD5 {digest.hexdigest()}, the published file has {md5}")
    return f"{path}: {actual:,} bytes, MD5 as published"


def _synsets(meta: bytes) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The classes without children, in the order of their IDs, which must be 1..n."""
    rows = matlab.read(meta)["synsets"]
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise ValueError("its synsets are not a table")
    id_key = next((key for key in rows[0] if re.fullmatch(r"ILSVRC20\d\d_ID", key)), None)
    if id_key is None:
        raise ValueError("its synsets do not have their numbers, ILSVRC2012_ID or of another year")
    leaves = {}
    for row in rows:
        if _whole(row["num_children"]) == 0:
            leaves[_whole(row[id_key])] = (str(row["WNID"]), str(row["words"]))
    if sorted(leaves) != list(range(1, len(leaves) + 1)):
        raise ValueError("its class numbers are not 1, 2, 3, ...")
    ordered = [leaves[number] for number in sorted(leaves)]
    return tuple(name for name, _ in ordered), tuple(title for _, title in ordered)


def _whole(value: Any) -> int:
    if not isinstance(value, np.ndarray) or value.size != 1:
        raise ValueError("a field that is not one number")
    return int(value.item())


def _folder_reader(path: str) -> Callable[[str], bytes | None]:
    def read(pattern: str) -> bytes | None:
        for folder, _, names in sorted(os.walk(path)):
            for name in sorted(names):
                full = os.path.join(folder, name)
                if re.fullmatch(pattern, os.path.relpath(full, path).replace(os.sep, "/")):
                    with open(full, "rb") as file:
                        return file.read(_MAX_MEMBER_BYTES)
        return None

    return read


def _archive_reader(path: str) -> Callable[[str], bytes | None]:
    try:
        with files.open_regular(path) as file:
            packed = file.read(_MAX_MEMBER_BYTES)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    try:
        # A tar may claim names as long as all that it unpacks to, a thousand times its size.
        plain = gzip.GzipFile(fileobj=io.BytesIO(packed)).read(_MAX_UNPACKED_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path}: not a readable devkit ({one_line(error)})") from error
    if len(plain) > _MAX_UNPACKED_BYTES:
        raise UserError(f"{path}: more than {_MAX_UNPACKED_BYTES:,} bytes, which no devkit has")

    def read(pattern: str) -> bytes | None:
        # The kit is small and compressed; it is read from memory and never extracted.
        try:
            with tarfile.open(fileobj=io.BytesIO(plain), mode="r:") as archive:
                for member in archive:
                    if member.isreg() and re.fullmatch(pattern, member.name.removeprefix("./")):
                        content = archive.extractfile(member)
                        return None if content is None else content.read(_MAX_MEMBER_BYTES)
        except (tarfile.TarError, OSError, EOFError, ValueError) as error:
            raise UserError(f"{path}: not a readable devkit ({one_line(error)})") from error
        return None

    return read
