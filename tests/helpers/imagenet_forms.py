"""A stand-in's images in the forms that people hold ImageNet in, written by other libraries."""

import io
import json
import pathlib
import tarfile
import zipfile
from collections.abc import Iterator

from tests.helpers.imagenet_standin import StandIn, add


def train_files(stand_in: StandIn) -> Iterator[tuple[str, str, bytes]]:
    """(class, file name, content) of the training images."""
    for path in sorted(stand_in.train_folder.glob("*/*")):
        yield path.parent.name, path.name, path.read_bytes()


def validation_files(stand_in: StandIn) -> Iterator[tuple[str, str, bytes]]:
    """(class, file name, content) of the validation images."""
    for name, class_name in sorted(stand_in.validation_classes.items()):
        yield class_name, name, (stand_in.flat_validation / name).read_bytes()


def of_split(stand_in: StandIn, split: str) -> list[tuple[str, str, bytes]]:
    return list(train_files(stand_in) if split == "train" else validation_files(stand_in))


def number_of(stand_in: StandIn, class_name: str) -> int:
    """The place of a class in the published order: sorted."""
    return sorted(stand_in.devkit_names).index(class_name)


def class_list(stand_in: StandIn, path: pathlib.Path) -> pathlib.Path:
    """Lines as of Kaggle's LOC_synset_mapping.txt, with the words of the stand-in's devkit."""
    names = sorted(stand_in.devkit_names)
    path.write_text("".join(f"{name} thing {name}, item\n" for name in names))
    return path


def kaggle_files(stand_in: StandIn) -> dict[str, bytes]:
    """Kaggle's layout, by path."""
    images = "ILSVRC/Data/CLS-LOC"
    result = {
        "ILSVRC/Annotations/CLS-LOC/val/ILSVRC2012_val_00000001.xml": b"<annotation/>",
        f"{images}/test/ILSVRC2012_test_00000001.JPEG": b"no label",
    }
    for class_name, name, data in train_files(stand_in):
        result[f"{images}/train/{class_name}/{name}"] = data
    lines = ["ImageId,PredictionString"]
    for class_name, name, data in validation_files(stand_in):
        result[f"{images}/val/{name}"] = data
        lines.append(f"{name.removesuffix('.JPEG')},{class_name} 85 1 499 272 ")
    result["LOC_val_solution.csv"] = ("\n".join(lines) + "\n").encode()
    names = sorted(stand_in.devkit_names)
    mapping = "".join(f"{name} thing {name}, item\n" for name in names)
    result["LOC_synset_mapping.txt"] = mapping.encode()
    return result


def write_folder(folder: pathlib.Path, contents: dict[str, bytes]) -> pathlib.Path:
    for name, data in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def write_zip(
    path: pathlib.Path, contents: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED
) -> pathlib.Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in contents.items():
            archive.writestr(name, data)
    return path


def class_tars(stand_in: StandIn, folder: pathlib.Path) -> pathlib.Path:
    """A folder of one tar per class, as ImageNet-21k comes."""
    folder.mkdir()
    for class_folder in sorted(stand_in.train_folder.iterdir()):
        with tarfile.open(folder / f"{class_folder.name}.tar", "w") as archive:
            add(archive, {path.name: path.read_bytes() for path in sorted(class_folder.iterdir())})
    return folder


def web_dataset(
    stand_in: StandIn, folder: pathlib.Path, label: str = "cls", shards: int = 2
) -> pathlib.Path:
    """Shards per split; the label as a number in .cls or in .json."""
    folder.mkdir()
    for split in ("train", "validation"):
        entries = of_split(stand_in, split)
        for shard in range(shards):
            with tarfile.open(folder / f"imagenet-{split}-{shard:04d}.tar", "w") as archive:
                for class_name, name, data in entries[shard::shards]:
                    stem = name.removesuffix(".JPEG")
                    number = number_of(stand_in, class_name)
                    add(archive, {f"{stem}.jpg": data})
                    if label == "cls":
                        add(archive, {f"{stem}.cls": f"{number}\n".encode()})
                    else:
                        fields = {"label": number, "width": 3}
                        add(archive, {f"{stem}.json": json.dumps(fields).encode()})
    return folder


def parquet(
    stand_in: StandIn, folder: pathlib.Path, names: list[str] | None = None, shards: int = 2
) -> pathlib.Path:
    """Hugging Face's layout and names of files; `names` are the classes in the metadata."""
    import pyarrow
    import pyarrow.parquet

    (folder / "data").mkdir(parents=True)
    (folder / "README.md").write_text("---\nlicense: other\n---\n")
    features = {"label": {"names": names or [], "_type": "ClassLabel"}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})} if names else None
    for split in ("train", "validation"):
        entries = of_split(stand_in, split)
        for shard in range(shards):
            part = entries[shard::shards]
            images = [
                {"bytes": data, "path": name.replace(".JPEG", f"_{class_name}.JPEG")}
                for class_name, name, data in part
            ]
            labels = [number_of(stand_in, class_name) for class_name, _, _ in part]
            schema = pyarrow.schema(
                {
                    "image": pyarrow.struct({"bytes": pyarrow.binary(), "path": pyarrow.string()}),
                    "label": pyarrow.int64(),
                },
                metadata=metadata,
            )
            table = pyarrow.table({"image": images, "label": labels}, schema=schema)
            name = f"{split}-{shard:05d}-of-{shards:05d}.parquet"
            pyarrow.parquet.write_table(table, folder / "data" / name, row_group_size=3)
    return folder


def tfrecords(stand_in: StandIn, folder: pathlib.Path, style: str, shards: int = 2) -> pathlib.Path:
    """Records as TFDS or as the Model Garden writes them ("tfds", "garden", "garden numbers")."""
    import tensorflow as tf

    def text(value: bytes) -> tf.train.Feature:
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))

    def integer(value: int) -> tf.train.Feature:
        return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))

    folder.mkdir()
    if style == "tfds":
        names = sorted(stand_in.devkit_names)
        (folder / "label.labels.txt").write_text("".join(f"{name}\n" for name in names))
        (folder / "features.json").write_text("{}")
    for split in ("train", "validation"):
        entries = of_split(stand_in, split)
        for shard in range(shards):
            prefix = f"imagenet2012-{split}.tfrecord" if style == "tfds" else split
            path = folder / f"{prefix}-{shard:05d}-of-{shards:05d}"
            with tf.io.TFRecordWriter(str(path)) as writer:
                for class_name, name, data in entries[shard::shards]:
                    number = number_of(stand_in, class_name)
                    if style == "tfds":
                        feature = {
                            "image": text(data),
                            "label": integer(number),
                            "file_name": text(name.encode()),
                        }
                    else:
                        feature = {
                            "image/encoded": text(data),
                            "image/class/label": integer(number + 1),
                            "image/filename": text(name.encode()),
                            "image/height": integer(3),
                        }
                        if style == "garden":
                            feature["image/class/synset"] = text(class_name.encode())
                    features = tf.train.Features(feature=feature)
                    writer.write(tf.train.Example(features=features).SerializeToString())
    return folder


def tar_gz(path: pathlib.Path, contents: dict[str, bytes]) -> pathlib.Path:
    with tarfile.open(path, "w:gz") as archive:
        add(archive, contents)
    return path


def tar_bytes(contents: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        add(archive, contents)
    return buffer.getvalue()
