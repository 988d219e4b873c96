"""A small stand-in for the raw ILSVRC files: nested tars, devkit and the same images as folders."""

import dataclasses
import io
import pathlib
import struct
import tarfile
import zlib

import numpy as np
from PIL import Image

QUIRKS = ("cmyk", "png", "grey", "exif", "bmp", "gif", "narrow", "trailing", "progressive")


@dataclasses.dataclass(frozen=True)
class StandIn:
    """Where everything lies, and what a correct reader finds in it."""

    train_tar: pathlib.Path
    validation_tar: pathlib.Path
    devkit: pathlib.Path
    train_folder: pathlib.Path
    validation_folder: pathlib.Path  # one folder per class
    flat_validation: pathlib.Path  # all images side by side
    devkit_names: list[str]  # the class of ID i is devkit_names[i - 1]
    validation_classes: dict[str, str]  # file name to class


def picture(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """Smooth colours with a few edges, so that JPEG keeps them well."""
    y, x = np.mgrid[0:height, 0:width]
    waves = [
        np.sin(x * rng.uniform(0.01, 0.1) + y * rng.uniform(0.01, 0.1) + rng.uniform(0, 6))
        for _ in range(3)
    ]
    image = np.stack(waves, axis=2) * rng.uniform(40, 120) + rng.uniform(60, 190, 3)
    image[height // 4 : height // 2, width // 4 : width // 2] += rng.uniform(-60, 60)
    return np.clip(image, 0, 255).astype(np.uint8)


def encoded(image: np.ndarray, quirk: str | None = None) -> bytes:
    """The picture as a JPEG file, or in one of the disguises that real collections hold."""
    picture_ = Image.fromarray(image)
    buffer = io.BytesIO()
    if quirk == "png":
        picture_.save(buffer, "PNG")
    elif quirk == "bmp":
        picture_.save(buffer, "BMP")
    elif quirk == "gif":
        picture_.save(buffer, "GIF")
    elif quirk == "cmyk":
        picture_.convert("CMYK").save(buffer, "JPEG", quality=90)
    elif quirk == "grey":
        picture_.convert("L").save(buffer, "JPEG", quality=90)
    elif quirk == "progressive":
        picture_.save(buffer, "JPEG", quality=90, progressive=True)
    elif quirk == "exif":
        exif = Image.Exif()
        exif[0x0112] = 6  # orientation: turned by 90 degrees
        picture_.save(buffer, "JPEG", quality=90, exif=exif)
    else:
        picture_.save(buffer, "JPEG", quality=90)
    return buffer.getvalue() + (b"\r\n trailing bytes" if quirk == "trailing" else b"")


def build(
    folder: pathlib.Path, *, classes: int = 20, train: int = 6, validation: int = 40, seed: int = 0
) -> StandIn:
    """Draws the images and writes them in every layout. All quirks occur among them."""
    rng = np.random.default_rng(seed)
    sorted_names = [f"n{10_000_000 + 37 * index:08d}" for index in range(classes)]
    devkit_names = [str(name) for name in rng.permutation(sorted_names)]
    quirks = iter(QUIRKS)
    train_files: dict[str, dict[str, bytes]] = {}
    for name in sorted_names:
        train_files[name] = {}
        for number in range(train):
            quirk = next(quirks, None) if number == 1 else None
            train_files[name][f"{name}_{number * 7}.JPEG"] = _file(rng, quirk)
    ids = [int(i) for i in rng.integers(1, classes + 1, validation)]
    validation_files = {
        f"ILSVRC2012_val_{number + 1:08d}.JPEG": _file(rng, None) for number in range(validation)
    }
    classes_of = {name: devkit_names[i - 1] for name, i in zip(validation_files, ids, strict=True)}

    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(folder / "ILSVRC2012_stand_in_train.tar", "w") as outer:
        for name, contents in train_files.items():
            buffer = io.BytesIO()
            with tarfile.open(fileobj=buffer, mode="w") as inner:
                add(inner, contents)
            add(outer, {f"{name}.tar": buffer.getvalue()})
    with tarfile.open(folder / "ILSVRC2012_stand_in_val.tar", "w") as archive:
        add(archive, validation_files)
    write_devkit(folder / "ILSVRC2012_devkit_t12.tar.gz", devkit_names, ids)
    layouts = {
        "train": {f"{name}/{file}": data for name, c in train_files.items()
                  for file, data in c.items()},
        "validation": {f"{classes_of[f]}/{f}": data for f, data in validation_files.items()},
        "flat": validation_files,
    }  # fmt: skip
    for layout, contents in layouts.items():
        for name, data in contents.items():
            path = folder / layout / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    return StandIn(
        train_tar=folder / "ILSVRC2012_stand_in_train.tar",
        validation_tar=folder / "ILSVRC2012_stand_in_val.tar",
        devkit=folder / "ILSVRC2012_devkit_t12.tar.gz",
        train_folder=folder / "train",
        validation_folder=folder / "validation",
        flat_validation=folder / "flat",
        devkit_names=devkit_names,
        validation_classes=classes_of,
    )


def write_devkit(path: pathlib.Path, names: list[str], ids: list[int], year: int = 2012) -> None:
    """A devkit of the published layout; classes beyond the leaves have children."""
    top = "ILSVRC2012_devkit_t12" if year == 2012 else "devkit-1.0"
    id_key = f"ILSVRC{year}_ID"
    rows = [
        {id_key: number, "WNID": name, "words": f"thing {name}, item", "gloss": "a thing",
         "num_children": 0, "num_train_images": 1300}
        for number, name in enumerate(names, 1)
    ]  # fmt: skip
    parent = {**rows[0], id_key: len(rows) + 1, "WNID": "n00000001", "num_children": 2}
    truth = "".join(f"{number}\n" for number in ids)
    with tarfile.open(path, "w:gz") as archive:
        add(
            archive,
            {
                f"{top}/readme.txt": b"stand-in",
                f"{top}/data/meta.mat": mat_file("synsets", [*rows, parent]),
                f"{top}/data/ILSVRC{year}_validation_ground_truth.txt": truth.encode(),
            },
        )


def mat_file(name: str, rows: list[dict[str, object]]) -> bytes:
    """A MATLAB 5 file with one compressed struct array, after MathWorks' format description."""
    fields = list(rows[0])
    packed = b"".join(field.encode().ljust(32, b"\0") for field in fields)
    body = _element(6, struct.pack("<II", 2, 0)) + _element(5, struct.pack("<ii", len(rows), 1))
    body += _element(1, name.encode()) + struct.pack("<HHi", 5, 4, 32) + _element(1, packed)
    for row in rows:
        for field in fields:
            body += _matrix(row[field])
    compressed = zlib.compress(_element(14, body))
    header = b"MATLAB 5.0 MAT-file, stand-in".ljust(124) + struct.pack("<H", 0x0100) + b"IM"
    return header + struct.pack("<II", 15, len(compressed)) + compressed


def _matrix(value: object) -> bytes:
    if isinstance(value, str):
        content = _element(6, struct.pack("<II", 4, 0))
        content += _element(5, struct.pack("<ii", 1, len(value))) + _element(1, b"")
        content += _element(4, value.encode("utf-16-le"))
    else:
        content = _element(6, struct.pack("<II", 6, 0)) + _element(5, struct.pack("<ii", 1, 1))
        content += _element(1, b"") + _element(9, struct.pack("<d", value))
    return _element(14, content)


def _element(kind: int, content: bytes) -> bytes:
    return struct.pack("<II", kind, len(content)) + content + b"\0" * (-len(content) % 8)


def _file(rng: np.random.Generator, quirk: str | None) -> bytes:
    width, height = (int(side) for side in rng.integers(90, 330, 2))
    if quirk == "narrow":
        width = 1
    return encoded(picture(rng, width, height), quirk)


def add(archive: tarfile.TarFile, contents: dict[str, bytes]) -> None:
    for name, data in contents.items():
        member = tarfile.TarInfo(name)
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))
