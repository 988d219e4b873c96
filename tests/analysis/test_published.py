"""When errors stand beside the published ones, and which of them."""

import types

import pytest

from alexnet_tf.analysis import published, result_files

IDS = [f"n{number:08d}" for number in range(1_000)]


def data(names=IDS, count=50_000):
    return types.SimpleNamespace(
        num_classes=len(names),
        class_names=names,
        split=lambda name: types.SimpleNamespace(count=count),
    )


def test_imagenets_validation_images_compare() -> None:
    assert published.incomparable(data(), "validation") == ""


@pytest.mark.parametrize(
    ("dataset", "split", "reason"),
    [
        (data(IDS[:10]), "validation", "errors among 10 classes do not compare"),
        (data([*IDS[1:], "cat"]), "validation", "the classes are not those of ImageNet"),
        (data(count=49_999), "validation", "not of 49,999 images of the split validation"),
        (data(), "train", "not of 50,000 images of the split train"),
    ],
)
def test_other_images_do_not(dataset, split: str, reason: str) -> None:
    assert reason in published.incomparable(dataset, split)


def test_the_papers_row_stands_below_one_networks_ten_views() -> None:
    """Table 2 of the paper: 1 CNN 40.7% and 18.2%, 5 CNNs 38.1% and 16.4%."""
    rows = [vars(row) for row in published.beside(1, 10)]
    share = {"share": 0.5, "low": 0.4, "high": 0.6}
    summary = {
        "count": 50_000,
        "split": "validation",
        "data_dir": "d",
        "num_classes": 1_000,
        "not_comparable": "",
        "errors": {"10": {"top_1_error": share, "top_5_error": share}},
        "published": rows,
    }
    lines = result_files.text([summary], ["mine"]).splitlines()
    (paper,) = [line for line in lines if "the paper" in line]
    assert paper.split()[-3:] == ["10", "40.70%", "18.20%"]
    (five,) = [row for row in published.beside(5, 10) if "paper" in row.name]
    assert (five.top_1_error, five.top_5_error) == (0.381, 0.164)
