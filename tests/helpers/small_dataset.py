"""A tiny dataset folder, written without the converter, for tests of what reads datasets."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np

from data_prep import dataset

SPLIT_SEED = {"train": 1, "validation": 2}


def pixels(split: str, count: int, image_size: int, classes: int, seed: int = 0) -> tuple:
    """Images a net can learn: uint8 [count, S, S, 3] of stripes whose width is the class."""
    random = np.random.default_rng([seed, SPLIT_SEED[split]])
    labels = np.arange(count) % classes
    columns = np.arange(image_size)
    images = np.empty((count, image_size, image_size, 3), np.uint8)
    for number, label in enumerate(labels):
        wave = 128 + 70 * np.sign(np.sin((columns + random.integers(9)) * (label + 1) * 0.6))
        noise = random.integers(-25, 26, (image_size, image_size, 3))
        images[number] = np.clip(wave[None, :, None] + noise, 0, 255)
    return images, labels


def make(
    folder: Path,
    *,
    image_size: int = 16,
    classes: int = 3,
    train: int = 20,
    validation: int = 10,
    store: str = "jpeg",
    shards: int = 2,
    seed: int = 0,
) -> Path:
    """Writes a dataset folder and returns it."""
    import tensorflow as tf

    folder.mkdir(parents=True)
    train_images, _ = pixels("train", train, image_size, classes, seed)
    mean_image = train_images.mean(axis=0).astype(np.float32)
    values, vectors = np.linalg.eigh(np.cov(train_images.reshape(-1, 3).T.astype(np.float64)))
    splits = {}
    for split, count in (("train", train), ("validation", validation)):
        images, labels = pixels(split, count, image_size, classes, seed)
        index, described = [], []
        for shard in range(shards):
            name = f"{split}-{shard:05d}-of-{shards:05d}"
            numbers = range(shard, count, shards)
            offset = 0
            with tf.io.TFRecordWriter(str(folder / name)) as writer:
                for number in numbers:
                    record = _record(tf, images[number], int(labels[number]) + 1, store, mean_image)
                    writer.write(record)
                    index.append((shard, offset + 12, len(record)))
                    offset += len(record) + 16
            data = (folder / name).read_bytes()
            described.append(
                {"name": name, "count": len(numbers), "bytes": len(data), "sha256": _sha256(data)}
            )
        splits[split] = {
            "count": count,
            "class_counts": np.bincount(labels, minlength=classes).tolist(),
            "shards": described,
            "skipped": [],
            "index": {
                "name": f"{split}-index.npy",
                "sha256": _save(folder / f"{split}-index.npy", np.array(index, np.int64)),
            },
        }
    statistics = {
        "split": "train",
        "channel_mean": train_images.reshape(-1, 3).mean(axis=0).tolist(),
        "pca_standard_deviations": np.sqrt(np.maximum(values, 0)).tolist(),
        "pca_vectors": vectors.tolist(),
        "mean_image": {
            "name": "mean_image.npy",
            "sha256": _save(folder / "mean_image.npy", mean_image),
        },
    }
    dataset.save(
        str(folder),
        {
            "schema_version": 1,
            "image_size": image_size,
            "store": store,
            "jpeg_quality": 95 if store == "jpeg" else None,
            "resampling": "none",
            "label_order": "sorted",
            "label_offset": 1,
            "class_names": [f"class_{number}" for number in range(classes)],
            "seed": seed,
            "versions": {},
            "splits": splits,
            "statistics": statistics,
        },
    )
    return folder


def _record(tf, image: np.ndarray, label: int, store: str, mean_image: np.ndarray) -> bytes:
    if store == "jpeg":
        encoded = tf.io.encode_jpeg(image, quality=95).numpy()
    elif store == "uint8":
        encoded = image.tobytes()
    else:
        encoded = (image - mean_image).astype(np.float16).tobytes()
    feature = {
        dataset.IMAGE_KEYS[store]: tf.train.Feature(bytes_list=tf.train.BytesList(value=[encoded])),
        dataset.LABEL_KEY: tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
    }
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()


def _save(path: Path, array: np.ndarray) -> str:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    path.write_bytes(buffer.getvalue())
    return _sha256(buffer.getvalue())


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
