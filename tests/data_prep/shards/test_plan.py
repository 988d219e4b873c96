"""The plan: every image in exactly one shard, whatever the order in which they were found."""

import hashlib
import json
import pickle
import random
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest

from alexnet_common.errors import UsageError, UserError
from data_prep.shards import plan
from data_prep.sources.image_table import Images, SourceImage


def found(count: int) -> list[SourceImage]:
    return [
        SourceImage(f"c{number % 5}/{number}.jpg", f"c{number % 5}", f"/x/{number}.jpg")
        for number in range(count)
    ]


CLASSES = tuple(f"c{number}" for number in range(5))


def planned(images: list[SourceImage], seed: int = 0, shards: int | None = 4) -> plan.Plan:
    settings = plan.Settings(seed=seed)
    return plan.make_plan(settings, {"train": images}, CLASSES, (), {"train": shards})


def keys(the_plan: plan.Plan) -> list[str]:
    return [image.key for image in the_plan.splits[0].images]


def test_every_image_is_in_exactly_one_shard() -> None:
    (split,) = planned(found(103)).splits
    parts = [split.shard_images(number) for number in range(4)]
    assert [len(part) for part in parts] == [26, 26, 26, 25]
    assert Counter(image.key for part in parts for image in part) == Counter(
        image.key for image in found(103)
    )


def test_imagenet_has_the_conventional_shards() -> None:
    assert plan.auto_shards("train", 1_281_167, plan.Settings()) == 1024
    assert plan.auto_shards("validation", 50_000, plan.Settings()) == 128
    split = plan.SplitPlan("train", tuple(range(1_281_167)), 1024)  # type: ignore[arg-type]
    sizes = Counter(len(split.shard_images(number)) for number in range(1024))
    assert sizes == {1252: 143, 1251: 881}
    assert split.shard_name(0) == "train-00000-of-01024"
    assert split.shard_name(1023) == "train-01023-of-01024"


@pytest.mark.parametrize(
    ("split", "usual", "shards"), [("train", 1_281_167, 1024), ("validation", 50_000, 128)]
)
def test_up_to_one_in_a_hundred_images_may_be_missing_or_more(split, usual, shards) -> None:  # type: ignore[no-untyped-def]
    # 1% of them, rounded down: 12,811 and 500.
    edge = usual // 100
    for images in (usual - edge, usual + edge):
        assert plan.auto_shards(split, images, plan.Settings()) == shards
    for images in (usual - edge - 1, usual + edge + 1):
        # Of 0.46 bytes for each of 65,536 pixels and 920 bytes beside them, 40 MB a shard.
        expected = round(images * (0.46 * 65_536 + 920) / 40e6)
        assert plan.auto_shards(split, images, plan.Settings()) == expected != shards


def test_other_splits_have_no_usual_number() -> None:
    assert plan.auto_shards("test", 1, plan.Settings()) == 1


def test_the_settings_are_those_that_the_command_documents() -> None:
    settings = plan.Settings()
    assert (settings.image_size, settings.store, settings.jpeg_quality) == (256, "jpeg", 95)
    assert (settings.seed, settings.label_order, settings.label_offset) == (0, "sorted", 1)


def test_other_datasets_have_shards_near_40_megabytes() -> None:
    assert plan.auto_shards("train", 10, plan.Settings()) == 1
    # 196,608 bytes of pixels each: 2,000 images are 393 MB.
    assert plan.auto_shards("train", 2_000, plan.Settings(store="uint8")) == 10
    assert plan.auto_shards("train", 2_000, plan.Settings(store="centered")) == 20
    assert plan.auto_shards("validation", 10_000, plan.Settings(image_size=32)) == 1


def test_the_order_of_finding_and_the_place_play_no_part() -> None:
    images = found(50)
    moved = [image._replace(path="/archive.tar", offset=512, size=7) for image in images]
    random.Random(3).shuffle(moved)
    assert keys(planned(images)) == keys(planned(moved))
    assert planned(images).fingerprint() == planned(moved).fingerprint()


def test_images_are_shuffled_and_the_seed_decides_how() -> None:
    first, second = keys(planned(found(100))), keys(planned(found(100), seed=1))
    assert first != second
    assert first != sorted(first)
    # A fair shuffle mixes the classes: no shard of 25 lacks one (odds below 2 in 100 each).
    (split,) = planned(found(100)).splits
    for number in range(4):
        assert len({image.class_name for image in split.shard_images(number)}) == 5


def test_one_image_more_does_not_move_the_others_relative_to_each_other() -> None:
    with_new = keys(planned(found(51)))
    with_new.remove("c0/50.jpg")
    assert with_new == keys(planned(found(50)))


@pytest.mark.parametrize(
    "change",
    [
        lambda: planned(found(49)),
        lambda: planned(found(50), seed=1),
        lambda: planned(found(50), shards=5),
        lambda: planned([i._replace(class_name="c0") for i in found(50)]),
        lambda: plan.make_plan(plan.Settings(jpeg_quality=90), {"train": found(50)}, CLASSES),
        lambda: plan.make_plan(plan.Settings(), {"train": found(50)}, CLASSES[::-1]),
        lambda: plan.make_plan(plan.Settings(), {"train": found(50)}, CLASSES, ["x"] * 5),
        lambda: plan.make_plan(plan.Settings(), {"validation": found(50)}, CLASSES),
    ],
)
def test_whatever_changes_the_bytes_changes_the_fingerprint(change) -> None:  # type: ignore[no-untyped-def]
    assert change().fingerprint() != planned(found(50)).fingerprint()


def test_two_images_of_one_key_are_refused() -> None:
    with pytest.raises(UserError, match="same class and name"):
        planned([*found(5), *found(1)])


def test_more_shards_than_images_are_refused() -> None:
    with pytest.raises(UsageError, match="--train_shards=4 is more than the 3 images"):
        planned(found(3))
    assert [len(part) for part in map(planned(found(4)).splits[0].shard_images, range(4))] == [
        1
    ] * 4


def test_an_unknown_class_is_refused() -> None:
    with pytest.raises(UserError, match="unknown class 'zebra'"):
        planned([SourceImage("zebra/1.jpg", "zebra", "/1.jpg")], shards=1)


def test_the_fingerprint_is_the_one_of_earlier_versions() -> None:
    """A JSON line per image after the settings: unfinished conversions go on by it."""
    images = [
        SourceImage('c"0/\udce9 \u00e9.jpg', 'c"0', "/x"),
        SourceImage("c1/b.jpg", "c1", "/x"),
    ]
    settings = plan.Settings()
    the_plan = plan.make_plan(settings, {"train": images}, ('c"0', "c1"), ("zero", "one"))
    head = [the_plan.summary(), ['c"0', "c1"], ["zero", "one"]]
    lines = json.dumps(head, sort_keys=True)
    for image in the_plan.splits[0].images:
        lines += json.dumps(["train", image.key, image.class_name])
    assert the_plan.fingerprint() == hashlib.sha256(lines.encode()).hexdigest()


def test_a_shard_goes_to_a_worker_as_plain_tuples() -> None:
    """A view of millions of images must not take them all along."""
    split = planned(found(103)).splits[0]
    part = split.shard_images(2)
    sent = pickle.loads(pickle.dumps(part))
    assert type(sent) is tuple and list(sent) == list(part) and len(sent) == 26
    assert type(sent[0]) is SourceImage


def test_columns_hold_what_the_images_say() -> None:
    images = [
        SourceImage("a/x/1.jpg", "a", "/t.tar", 512, 7),
        SourceImage("b/2.jpg", "b", "/b/2.jpg"),
        SourceImage("a/\udce9.jpg", "a", "/z.zip", 0, 9, 1),
    ]
    table = Images.of(images)
    assert list(table) == images and table[-1] == images[-1]
    assert list(table[::-1]) == images[::-1] and list(table[1:]) == images[1:]
    assert list(table.keys()) == [image.key for image in images]
    assert table.class_counts() == {"a": 2, "b": 1}
    assert table.take(np.array([1])).class_counts() == {"b": 1}
    ordered = sorted(images, key=lambda image: (image.class_name, image.key))
    assert list(table.sorted()) == ordered
    assert list(Images.of([])) == []


@pytest.mark.slow
def test_a_million_images_take_columns_not_objects() -> None:
    """Objects take 600 bytes of memory each; the 14 million of ImageNet-21k would not fit."""
    program = """if True:
        import resource
        from data_prep.shards import plan
        from data_prep.sources import listing
        from data_prep.sources.image_table import FileTable, Place
        from data_prep.sources.tree import Tree

        def peak():
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

        before, count = peak(), 300_000
        table = FileTable(paths=["/d/x.tar"])
        for number in range(count):
            place = Place("/d/x.tar", 512 * number, 110_000)
            table.add(f"n{number % 1000:08d}", f"n00000000_{number}.JPEG", place)
        images = listing.images_of("x", Tree(table, (), ()))
        names = listing.check_classes(images, None, "x")
        split = plan.make_plan(plan.Settings(), {"train": images}, names).splits[0]
        assert len(split.shard_images(0)) > 0
        print((peak() - before) / count)
    """
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    # 14 million in 4 GB, with 100 MB for the program, are 290 bytes each.
    assert float(done.stdout) < 290


def test_later_settings_stand_in_a_fingerprint_only_where_they_are_used() -> None:
    """So that a conversion that an older version began is finished."""
    first = {"image_size", "store", "jpeg_quality", "seed", "label_order", "label_offset"}
    assert plan.Settings().summary().keys() == first
    used = plan.Settings(exif_orientation="apply", validation_fraction=0.1)
    assert used.beyond_the_first() == {"exif_orientation": "apply", "validation_fraction": 0.1}
    assert used.summary().keys() == first | used.beyond_the_first().keys()
