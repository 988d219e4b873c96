"""Label files of flat images: which class every file is of.

Read by the csv module, line by line, so that an error can name its line: commas, semicolons, tabs
or spaces between the columns, with or without quotes, a header, and a byte-order mark.
"""

import codecs
import collections
import csv
import os
import re
from collections.abc import Collection, Sequence

from alexnet_common import files
from alexnet_common.errors import UserError
from data_prep.sources import imagenet
from data_prep.sources.imagenet import Devkit

_KAGGLE_HEADER = ["imageid", "predictionstring"]
# First cells of header lines, of any images.
_HEADERS = frozenset(
    ["file", "filename", "file_name", "file name", "image", "image_id", "imageid", "id", "name",
     "path"]
)  # fmt: skip
# The line by which Excel is told of the delimiter.
_DELIMITER_LINE = re.compile(r"sep=.?", re.IGNORECASE)
# Characters of a line that an error shows.
_SHOWN = 80
_DELIMITERS = ("\t", ",", ";", " ")
# Byte-order marks; that of UTF-32 begins as that of UTF-16 does.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"), (b"", "utf-8-sig"),
)  # fmt: skip
# What is taken for a label file and is none, by its first bytes.
_NO_TEXT = (
    (b"PK\x03\x04", "an Excel or zip file"), (b"\xd0\xcf\x11\xe0", "an Excel file"),
    (b"\x1f\x8b", "a gzip file"), (b"PAR1", "a Parquet file"), (b"SQLite format", "a database"),
    (b"%PDF", "a PDF file"), (b"MATLAB 5.0", "a MATLAB file"), (b"\x89HDF", "an HDF5 file"),
    (b"\xff\xd8\xff", "an image"), (b"\x89PNG", "an image"),
)  # fmt: skip
# A whole number or a decimal one, with a sign: what classes are numbered with.
_NUMBER = re.compile(r"[+-]?\d+(?:\.\d*)?")


def read(path: str, names: Sequence[str], devkit: Devkit | None) -> dict[str, str]:
    """Reads a label file: class of every file name.

    Args:
        path: ILSVRC's ground truth (one ID per line), lines `filename class`, or Kaggle's
            LOC_val_solution.csv.
        names: file names of the images, to which the lines of a ground truth belong in order.
        devkit: what the IDs mean; needed for a ground truth only.

    Raises:
        UserError: the file is none of these, or does not fit.
    """
    return parse(path, read_file(path), names, devkit)


def parse(path: str, content: bytes, names: Sequence[str], devkit: Devkit | None) -> dict[str, str]:
    """As `read`, of the content of a label file; `path` is for messages."""
    lines = numbered_lines(path, content)
    if not lines:
        raise UserError(f"{path}: is empty; expected one label per line")
    if len(lines) > 1 and _DELIMITER_LINE.fullmatch(lines[0][1]):
        del lines[0]
    if all(_NUMBER.fullmatch(line) for _, line in lines):
        if devkit is None:
            raise UserError(
                f"{path}: holds numbers, and only the devkit says which classes they are; "
                "name it with --devkit, or write lines 'filename class'"
            )
        ids = imagenet.parse_ids(lines, path)
        return imagenet.ground_truth(path, ids, names, devkit)
    first = [cell.casefold() for cell in _cells(lines[0][1], ",") or ()]
    if first[:2] == _KAGGLE_HEADER:
        return _kaggle(path, lines[1:], names)
    image_names = frozenset(names)
    stems = _stems(image_names)
    labels: dict[str, str] = {}
    for place, (number, line) in enumerate(lines):
        pair = _pair(line, image_names)
        if pair and pair[0] not in image_names and not (place == 0 and _is_heading(pair[0])):
            # Kaggle's lists often leave the endings out.
            short = _pair(line, stems)
            pair = (stems[short[0]], short[1]) if short and short[0] in stems else pair
        if pair is None or not all(pair):
            raise UserError(f"{path}:{number}: {_not_a_pair(line)}")
        if place == 0 and _is_header(pair[0], image_names):
            continue
        _note(labels, *pair, f"{path}:{number}")
    return labels


def read_file(path: str) -> bytes:
    """The content of a small text file.

    Raises:
        UserError: it cannot be read.
    """
    try:
        with files.open_regular(path) as file:
            return file.read()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error


def numbered_lines(path: str, content: bytes) -> list[tuple[int, str]]:
    """Lines that are not blank, with their numbers from 1.

    Raises:
        UserError: it is no text.
    """
    kind = next((kind for mark, kind in _NO_TEXT if content.startswith(mark)), None)
    if kind is not None:
        raise UserError(f"{path}: is {kind}, expected text; save it as CSV")
    # Spreadsheets write "Unicode text" as UTF-16; its byte-order mark is no UTF-8.
    encoding = next(encoding for mark, encoding in _MARKS if content.startswith(mark))
    name = encoding.upper().removesuffix("-SIG")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path}: cannot be read as a label file, it is not {name} text "
            f"({error.reason} at byte {error.start}); save it as UTF-8"
        ) from error
    # The end of a file for CP/M and its heirs.
    text = text.removesuffix("\x1a")
    if "\0" in text:
        raise UserError(
            f"{path}: is not a text file, or not in UTF-8: it holds zero bytes; save it as UTF-8"
        )
    # Not by splitlines(), which ends lines at characters that names may hold.
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return [(number, line.strip()) for number, line in enumerate(lines, 1) if line.strip()]


def _short(line: str) -> str:
    return repr(line if len(line) <= _SHOWN else line[:_SHOWN] + "...")


def _not_a_pair(line: str) -> str:
    """What to say of a line that is no name and class."""
    expected = f"expected 'filename class', found {_short(line)}"
    if line[0] in "{[":
        return f"{expected}; JSON is not read, write it as CSV"
    for delimiter in ",;\t":
        cells = _cells(line, delimiter) if delimiter in line else []
        if cells is None and '"' in line:
            return f"{expected}; its quotes do not end on this line, or have text behind them"
        if cells is not None and len(cells) > 2:
            return f"{expected}; of its {len(cells)} columns keep the two of names and classes"
    return expected


def _cells(line: str, delimiter: str) -> list[str] | None:
    """The cells of a line, or None where its quotes or its characters are not CSV."""
    try:
        (cells,) = csv.reader([line], delimiter=delimiter, skipinitialspace=True, strict=True)
    except (csv.Error, ValueError):
        return None
    return [cell.strip() for cell in cells]


def _pair(line: str, names: Collection[str]) -> tuple[str, str] | None:
    """File name and class of a line: the reading whose file is there, else the plain one.

    The class may come first where the second column is the name of an image.
    """
    plain: tuple[str, str] | None = None
    for delimiter in _DELIMITERS:
        cells = _cells(line, delimiter) if delimiter in line else None
        if cells is None:
            continue
        if delimiter.isspace():
            cells = [cell for cell in cells if cell]
        elif not any(cells[2:]):
            # Spreadsheets end lines with the delimiters of empty columns.
            del cells[2:]
        if len(cells) == 2:
            for cell, label in (cells, cells[::-1]):
                if (name := _name(cell, names)) in names:
                    return name, label
            plain = plain or (_name(cells[0], names), cells[1])
    # A name or a class of several words, without quotes: the images say where one ends.
    words = line.split(" ")
    for count in range(1, len(words)):
        name = _name(" ".join(words[:count]).rstrip(), names)
        if name in names:
            return name, " ".join(words[count:]).strip()
    return plain


def _name(cell: str, names: Collection[str]) -> str:
    """The cell as it stands where an image has that name, else without its folders.

    Windows writes these with backslashes.
    """
    return cell if cell in names else os.path.basename(cell.replace("\\", "/"))


def _is_header(cell: str, names: Collection[str]) -> bool:
    """Whether the first cell of a file stands for a column: no image has that name.

    Words of any kind do where all images have endings and the cell has none.
    """
    if cell in names:
        return False
    ending = os.path.splitext
    return _is_heading(cell) or bool(
        names and not ending(cell)[1] and all(ending(name)[1] for name in names)
    )


def _is_heading(cell: str) -> bool:
    return cell.casefold() in _HEADERS


def _stems(names: Collection[str]) -> dict[str, str]:
    """The names of images by their names without endings, where only one has that."""
    counts = collections.Counter(os.path.splitext(name)[0] for name in names)
    return {stem: name for name in names if counts[stem := os.path.splitext(name)[0]] == 1}


def _kaggle(path: str, lines: list[tuple[int, str]], names: Sequence[str]) -> dict[str, str]:
    by_stem = {os.path.splitext(name)[0]: name for name in names}
    labels: dict[str, str] = {}
    for number, line in lines:
        cells = _cells(line, ",")
        words = cells[1].split() if cells is not None and len(cells) == 2 else []
        if not cells or not cells[0] or not words:
            raise UserError(
                f"{path}:{number}: expected 'ImageId,class box ...', found {_short(line)}"
            )
        # Kaggle leaves the ending out; ILSVRC's is .JPEG.
        _note(labels, by_stem.get(cells[0], f"{cells[0]}.JPEG"), words[0], f"{path}:{number}")
    return labels


def _note(labels: dict[str, str], name: str, label: str, where: str) -> None:
    """Adds the class of a file; a line may say the same again, but nothing else."""
    if labels.setdefault(name, label) != label:
        raise UserError(f"{where}: a second class for {name}")
