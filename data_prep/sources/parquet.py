"""Parquet shards as Hugging Face keeps image sets: columns `image` (bytes, path) and `label`.

The bytes lie in compressed pages of many images, so a shuffled order would unpack a page, or a
whole row group, for every image. They are copied once, in order, to one flat file per shard.
"""

import functools
import json
import os
from collections.abc import Sequence
from typing import Any

from alexnet_common import files
from alexnet_common.errors import UserError, one_line
from data_prep.sources import index_file, published_names, unpacked
from data_prep.sources.image_table import FileTable, Place

MAGIC = b"PAR1"
# Rows that are in memory at a time.
_BATCH = 64


def scan(
    path: str, shards: Sequence[str], cache_folder: str | None
) -> tuple[FileTable, tuple[str, ...]]:
    """Lists the images of Parquet files; the folder of each in the table is its label.

    Returns:
        The table, and the names of the classes that the files state, in order, or ().

    Raises:
        UserError: a file is damaged or of another schema, an image has no bytes or no label, or
            pyarrow is missing.
    """
    table = FileTable()
    names: tuple[str, ...] = ()
    targets = {shard: unpacked.flat_file(shard, cache_folder) for shard in shards}
    missing = [shard for shard in shards if not os.path.exists(targets[shard])]
    if missing:
        _library(missing[0])
        unpacked.announce(path, {targets[shard]: os.path.getsize(shard) for shard in missing})
    for shard in shards:
        target = targets[shard]
        # An index without its flat file is of no use: it is made with it.
        fresh = None if os.path.exists(target) else _unpack(shard, target)
        part, extra = index_file.kept(
            cache_folder,
            os.path.basename(target),
            [target],
            functools.partial(_made, fresh, shard, target),
        )
        names = names or tuple(extra["names"])
        for row in range(len(part)):
            table.add(part.folder(row), part.name(row), part.place(row))
    return table, names


def _made(
    fresh: tuple[FileTable, dict[str, Any]] | None, shard: str, target: str
) -> tuple[FileTable, dict[str, Any]]:
    return fresh or _unpack(shard, target)


def _unpack(shard: str, target: str) -> tuple[FileTable, dict[str, Any]]:
    """Copies the images of one file to `target`."""
    parquet = _library(shard)
    table = FileTable(paths=[target])
    stem = os.path.basename(shard).removesuffix(".parquet")
    try:
        with files.open_regular(shard) as file, parquet.ParquetFile(file) as source:
            schema = source.schema_arrow
            label = _label_column(shard, schema)
            row = position = 0
            with unpacked.writer(target, shard) as output:
                batches = source.iter_batches(batch_size=_BATCH, columns=["image", label])
                for batch in batches:
                    for image, number in zip(
                        batch.column(0).to_pylist(), batch.column(1).to_pylist(), strict=True
                    ):
                        data = (image or {}).get("bytes")
                        if not data:
                            raise UserError(f"{shard}: row {row} holds no image bytes")
                        if number is None or (isinstance(number, int) and number < 0):
                            raise UserError(
                                f"{shard}: row {row} has no label ({number}); such files hold "
                                "images for a contest"
                            )
                        name = (image or {}).get("path") or f"{stem}_{row:06d}.jpg"
                        output.write(data)
                        place = Place(target, position, len(data))
                        table.add(str(number), published_names.original(name), place)
                        position += len(data)
                        row += 1
            return table, {"names": _stated_names(schema, label)}
    except (ValueError, OSError) as error:
        # ArrowInvalid is a ValueError; a full disk has a number, a damaged file has none.
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise UserError(f"{shard}: not a readable Parquet file ({one_line(error)})") from error


def _library(shard: str) -> Any:
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise UserError(
            f"{shard}: is a Parquet file, which pyarrow reads; "
            "pip install 'alexnet-tf[parquet]' brings it"
        ) from error
    return pyarrow.parquet


def _label_column(shard: str, schema: Any) -> str:
    """The column of the labels, in a schema that has images, too."""
    import pyarrow

    names = schema.names
    label = next((name for name in ("label", "labels") if name in names), None)
    image: Any = schema.field("image").type if "image" in names else pyarrow.null()
    structured = pyarrow.types.is_struct(image)
    fields = [image.field(place).name for place in range(image.num_fields)] if structured else []
    if label is None or "bytes" not in fields:
        raise UserError(
            f"{shard}: has the columns {', '.join(names)}; expected image (bytes, path) and label"
        )
    kind = schema.field(label).type
    if not (pyarrow.types.is_integer(kind) or pyarrow.types.is_string(kind)):
        raise UserError(f"{shard}: column {label} holds {kind}, expected numbers or names")
    return label


def _stated_names(schema: Any, label: str) -> list[str]:
    """The names of the classes in the metadata that Hugging Face writes, or []."""
    try:
        described = json.loads((schema.metadata or {})[b"huggingface"])
        names = described["info"]["features"][label]["names"]
        return [str(name) for name in names]
    except (KeyError, TypeError, ValueError):
        return []
