"""Files by which TensorFlow Datasets opens a dataset folder: `builder_from_directory(folder)`.

They describe the shards as they are; keys with slashes become nested features there, as in
`example["image"]["encoded"]`. The label counts as in the records, and its names begin with one for
every number before the first class.
"""

import json
from typing import Any

from alexnet_common import files
from data_prep import dataset

INFO_FILE, FEATURES_FILE = "dataset_info.json", "features.json"
# TFDS looks for the names of a class label under the path of its feature.
LABELS_FILE = "image-class-label.labels.txt"
NAME, VERSION = "alexnet_tf_dataset", "1.0.0"
_FEATURES = "tensorflow_datasets.core.features."
# What is no class, as in the lists of 1,001 classes.
_BACKGROUND = "background"


def write_info(the_dataset: dataset.Dataset) -> None:
    """Writes `dataset_info.json`, `features.json` and the names of the labels."""
    names = [_BACKGROUND] * the_dataset.label_offset + list(the_dataset.class_names)
    _write(the_dataset, LABELS_FILE, "".join(f"{name}\n" for name in names))
    _write(the_dataset, FEATURES_FILE, _json(_features(the_dataset, len(names))))
    # The last one: without it TFDS takes the folder for none of its own.
    _write(the_dataset, INFO_FILE, _json(_info(the_dataset)))


def _info(the_dataset: dataset.Dataset) -> dict[str, Any]:
    splits = [
        {
            "name": split.name,
            "filepathTemplate": "{SPLIT}-{SHARD_X_OF_Y}",
            "shardLengths": [str(shard.count) for shard in split.shards],
            "numBytes": str(sum(shard.bytes for shard in split.shards)),
        }
        for split in the_dataset.splits.values()
    ]
    return {
        "name": NAME,
        "version": VERSION,
        "description": "Squares of photographs for AlexNet; dataset.json describes all of it.",
        "fileFormat": "tfrecord",
        "supervisedKeys": {
            "tuple": {
                "items": [
                    {"featureKey": the_dataset.image_key},
                    {"featureKey": dataset.LABEL_KEY},
                ]
            }
        },
        "splits": splits,
    }


def _features(the_dataset: dataset.Dataset, num_labels: int) -> dict[str, Any]:
    size = str(the_dataset.image_size)
    shape = {"dimensions": [size, size, "3"]}
    image: dict[str, Any]
    if the_dataset.store == "jpeg":
        content = {"dtype": "uint8", "encodingFormat": "jpeg", "shape": shape}
        image = {"encoded": {"image": content, **_class("image_feature.Image")}}
    else:
        dtype = "uint8" if the_dataset.store == "uint8" else "float16"
        content = {"dtype": dtype, "encoding": "bytes", "shape": shape}
        image = {"raw": {"tensor": content, **_class("tensor_feature.Tensor")}}
    text = {"text": {}, **_class("text_feature.Text")}
    label = {"classLabel": {"numClasses": str(num_labels)},
             **_class("class_label_feature.ClassLabel")}  # fmt: skip
    image["class"] = _dict({"label": label, "synset": text})
    image["filename"] = text
    return _dict({"image": _dict(image)})


def _dict(features: dict[str, Any]) -> dict[str, Any]:
    nested = {"featuresDict": {"features": features}}
    return {**nested, **_class("features_dict.FeaturesDict")}


def _class(name: str) -> dict[str, str]:
    return {"pythonClassName": _FEATURES + name}


def _json(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=1, sort_keys=True) + "\n"


def _write(the_dataset: dataset.Dataset, name: str, text: str) -> None:
    files.write_atomically(files.join(the_dataset.directory, name), text.encode())
