"""Converts labelled images to a dataset folder: TFRecord shards, mean image, dataset.json.

    python -m data_prep.build_tfrecords --train=photos/train --validation=photos/validation \\
        --output_dir=photos_256

    python -m data_prep.build_tfrecords --train=ILSVRC2012_img_train.tar \\
        --validation=ILSVRC2012_img_val.tar --output_dir=imagenet_256

--train and --validation name folders with one folder of images per class, archives of them, or
ImageNet as Kaggle, Hugging Face (Parquet), WebDataset, TFDS or the Model Garden keep it; content
decides, and docs/data.md has the table. Archives are read in place; the class of an image is the
folder directly under the one named, or the label beside it. A flat folder or archive of validation
images needs a label file or a devkit, and without any validation images a part of the training
images can be held out (--validation_fraction). Every image is scaled so that its shorter side is
--image_size and its central square is kept, as in the paper (section 2). Killed or failed runs are
finished by the same command; the result is the same whatever the number of workers, tasks and
interruptions.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import sys

from absl import flags

from alexnet_common import command, files
from alexnet_common.counting import counted
from alexnet_common.errors import FAILED, UsageError
from alexnet_common.messages import log
from data_prep import dataset
from data_prep.shards import (
    beam_runner,
    conversion,
    dali,
    estimate,
    ownership,
    plan,
    repeats,
    sidecars,
    statistics,
    tfds_info,
    workers,
)
from data_prep.sources import imagenet, inputs


def define_flags(flag_values: flags.FlagValues) -> None:
    """Defines the flags of this command."""

    def text(name: str, default: str | None, help_text: str) -> None:
        flags.DEFINE_string(name, default, help_text, flag_values=flag_values)

    def integer(name: str, default: int | None, help_text: str, lowest: int, highest: int) -> None:
        flags.DEFINE_integer(
            name, default, help_text, lower_bound=lowest, upper_bound=highest,
            flag_values=flag_values,
        )  # fmt: skip

    text(
        "train",
        None,
        "Training images in any form: class folders; a tar, tar.gz or zip of them; a folder of "
        "class tars; Kaggle's ImageNet; Parquet, WebDataset or TFRecord files.",
    )
    text("validation", None, "Validation images, in the same way; may be left out, also where "
         "--train holds both splits.")  # fmt: skip
    text(
        "train_labels",
        None,
        "Classes of flat training images: lines 'filename class' (CSV, tabs or spaces).",
    )
    text(
        "validation_labels",
        None,
        "Classes of flat validation images: ground truth of the devkit, lines 'filename class' "
        "(CSV, tabs or spaces), or Kaggle's LOC_val_solution.csv.",
    )
    flags.DEFINE_float(
        "validation_fraction", None,
        "Without --validation: this part of the training images is held out for it, each by a hash "
        "of its own class and name.",
        flag_values=flag_values,
    )  # fmt: skip
    text("output_dir", None, "New folder for the dataset, or the one to finish.")
    text("train_shards", "auto", "Number of training shards; auto: about 40 MB each.")
    text("validation_shards", "auto", "Number of validation shards; auto: about 40 MB each.")
    integer("image_size", 256, "Side of the stored squares in pixels.", 8, 4096)
    flags.DEFINE_enum(
        "store", "jpeg", list(dataset.IMAGE_KEYS),
        "What a record holds: JPEG; raw uint8 pixels; float16 pixels less the mean image.",
        flag_values=flag_values,
    )  # fmt: skip
    integer("jpeg_quality", 95, "JPEG quality; the 2012 code used 95.", 1, 100)
    flags.DEFINE_enum(
        "runner", "local", ["local", "beam"],
        "Where shards are made: processes of this machine, or Apache Beam, whose own options "
        "follow behind --, as in --runner=beam -- --runner=FlinkRunner --flink_master=HOST:8081.",
        flag_values=flag_values,
    )  # fmt: skip
    integer("workers", None, "Processes; default: one per CPU core.", 1, 1024)
    text("task", "1/1", "i/n: this run makes the i-th of n shares of the shards; all n runs "
         "name the same --output_dir, and the last to finish completes it.")  # fmt: skip
    integer("seed", 0, "Seed of the order of the images.", 0, 2**63 - 1)
    flags.DEFINE_enum(
        "exif_orientation", "ignore", list(dataset.EXIF_ORIENTATIONS),
        "What to do with photographs that a camera marked as turned: ignore the mark, as in 2012, "
        "or apply it. What is exported of a network does the same.",
        flag_values=flag_values,
    )  # fmt: skip
    flags.DEFINE_enum(
        "on_error", "fail", ["fail", "skip"],
        "What to do with a file that cannot be converted. Skipped files are listed at the end "
        "and in dataset.json, and the exit status is 1.",
        flag_values=flag_values,
    )  # fmt: skip
    integer("max_errors", None, "With --on_error=skip: more failures than this end the run.",
            0, 2**31)  # fmt: skip
    text("devkit", None, "ILSVRC devkit (.tar.gz or its folder): names of the classes and truth of "
         "the validation images; by default the one beside --train, if there is one.")  # fmt: skip
    text("class_list", None, "Names of the classes, one per line in the order of their numbers, "
         "for sources that number them; ImageNet's own order needs none.")  # fmt: skip
    flags.DEFINE_enum(
        "label_order", "sorted", list(dataset.LABEL_ORDERS),
        "Order of the labels 1, 2, 3, ...: class names sorted, or the devkit's own numbers.",
        flag_values=flag_values,
    )  # fmt: skip

    def switch(name: str, help_text: str) -> None:
        flags.DEFINE_bool(name, False, help_text, flag_values=flag_values)

    switch(
        "dry_run", "Only say what would be done: counts, sizes, disk, time; JSON to a file or pipe."
    )
    switch("checksums", "Compare the MD5 of the ILSVRC archives too, which reads all of them.")
    switch("dali_index", "Write idx/<shard>.idx for the TFRecord reader of NVIDIA DALI, too.")
    switch(
        "tfds_info", "Write the files by which tfds.builder_from_directory opens the dataset, too."
    )
    flags.mark_flags_as_required(["train", "output_dir"], flag_values=flag_values)


def main(flag_values: flags.FlagValues, arguments: list[str]) -> int:
    """Finds the images, plans, converts and reports."""
    if arguments and flag_values.runner != "beam":
        raise UsageError(f"unexpected argument {arguments[0]!r}, expected flags only")
    settings = _settings(flag_values)
    options = _options(flag_values, arguments)
    num_shards = {
        "train": _shards("train_shards", flag_values.train_shards),
        "validation": _shards("validation_shards", flag_values.validation_shards),
    }
    output_dir = _folder(flag_values.output_dir)
    sources = _sources(flag_values, settings, output_dir)
    the_plan = plan.make_plan(
        settings, sources.images, sources.class_names, sources.class_titles, num_shards
    )
    if not flag_values.dry_run:
        for split in the_plan.splits:
            classes = counted(len(split.images.class_counts()), "class", "classes")
            images = counted(len(split.images), "image")
            log(f"{split.name}: {images} of {classes}, {counted(split.num_shards, 'shard')}")
    for note in notes_on_classes(sources):
        log(note)
    if flag_values.dry_run:
        described = estimate.dry_run(the_plan, output_dir, options.num_workers)
        if not sys.stdout.isatty():
            # For scripts. On a terminal a line per class would push the summary away.
            print(json.dumps(described, indent=1))
        return 0 if described["fits"] in (True, None) else FAILED
    result = conversion.convert(the_plan, output_dir, options)
    if result is None:
        return 0
    if flag_values.dali_index:
        dali.write_indexes(result)
    if flag_values.tfds_info:
        tfds_info.write_info(result)
    return report(result)


def _sources(
    flag_values: flags.FlagValues, settings: plan.Settings, output_dir: str
) -> inputs.Inputs:
    """What the flags name, looked at before anything is written; raises UserError."""
    train = files.expand_user(flag_values.train)
    validation, train_labels, validation_labels, devkit, class_list = (
        files.expand_user(path) if path else None
        for path in (
            flag_values.validation,
            flag_values.train_labels,
            flag_values.validation_labels,
            flag_values.devkit,
            flag_values.class_list,
        )
    )
    inputs.check_paths(train, validation, output_dir)
    ownership.refuse_foreign(output_dir)
    if not flag_values.dry_run:
        files.check_writable(files.join(output_dir, dataset.DATASET_FILE), "--output_dir")
    devkit = devkit or imagenet.find_devkit(train)
    for path in (train, validation, devkit):
        checked = path and imagenet.check_archive(path, flag_values.checksums)
        if checked:
            log(checked)
    return inputs.find(
        train,
        validation,
        train_labels=train_labels,
        validation_labels=validation_labels,
        devkit_path=devkit,
        class_list_path=class_list,
        validation_fraction=settings.validation_fraction,
        label_order=settings.label_order,
        cache_folder=sidecars.folder(output_dir),
    )


def notes_on_classes(sources: inputs.Inputs) -> list[str]:
    """What to say of classes before hours are spent: their order, and those without a judge."""
    names = sources.class_names
    notes = []
    if all(name.isascii() and name.isdigit() for name in names):
        for one, other in itertools.pairwise(names):
            if int(one) > int(other):
                notes = [
                    f"note: the classes are numbers, sorted as text: {one!r} comes before "
                    f"{other!r}; names of the same number of digits would be in their order"
                ]
                break
    if "validation" not in sources.images:
        return notes
    validated = sources.images["validation"].class_counts()
    lacking = [name for name in sources.class_names if name not in validated]
    if not lacking:
        return notes
    return [
        *notes,
        f"note: {_some(lacking)} of {len(sources.class_names):,} without a validation image; "
        "nothing will tell how well the network knows them",
    ]


def _some(names: list[str]) -> str:
    """Classes, counted and named, the first three of many."""
    shown = ", ".join(map(repr, names[:3])) + (", ..." if len(names) > 3 else "")
    return f"{counted(len(names), 'class', 'classes')} ({shown})"


def report(result: dataset.Dataset) -> int:
    """Says what the dataset holds, beside the author's statistics; 1 if images were skipped."""
    skipped = [entry for split in result.splits.values() for entry in split.skipped]
    for entry in skipped:
        log(f"skipped {entry.key}: {entry.reason}")
    # Planned classes all have images; those of these were skipped, each and every one.
    untrained = [
        name
        for name, count in zip(result.class_names, result.split("train").class_counts, strict=True)
        if not count
    ]
    if untrained:
        log(f"warning: {_some(untrained)} of {result.num_classes:,} without a training image left")
    for note in repeats.notes(result.document):
        log(note)
    log(f"mean RGB            {_row(result.channel_mean)}")
    log(f"  on ImageNet, 2012 {_row(statistics.AUTHOR_CHANNEL_MEAN)}")
    author = _row(statistics.AUTHOR_PCA_STANDARD_DEVIATIONS)
    log("standard deviations along the principal components of RGB (for the colour noise)")
    log(f"                    {_row(result.pca_standard_deviations)}")
    log(f"  on ImageNet, 2012 {author}")
    for split in result.splits.values():
        size = sum(shard.bytes for shard in split.shards)
        log(
            f"{split.name}: {counted(split.count, 'image')}, "
            f"{counted(len(split.shards), 'shard')}, {size:,} bytes"
        )
    log(
        f"labels in the records: {result.label_offset} ({result.class_names[0]}) to "
        f"{result.label_offset + result.num_classes - 1} ({result.class_names[-1]})"
    )
    log("(predictions count the same classes from 0)")
    if skipped:
        log(
            f"{result.directory}: usable, but {counted(len(skipped), 'planned image')} "
            f"{'is' if len(skipped) == 1 else 'are'} not in it (listed above and in "
            "dataset.json); exit status 1"
        )
        return FAILED
    log(f"{result.directory}: complete")
    return 0


def _settings(flag_values: flags.FlagValues) -> plan.Settings:
    return plan.Settings(
        image_size=flag_values.image_size,
        store=flag_values.store,
        jpeg_quality=flag_values.jpeg_quality,
        seed=flag_values.seed,
        label_order=flag_values.label_order,
        exif_orientation=flag_values.exif_orientation,
        validation_fraction=_fraction(flag_values),
    )


def _options(flag_values: flags.FlagValues, arguments: list[str]) -> conversion.Options:
    match = re.fullmatch(r"(\d+)/(\d+)", flag_values.task)
    task, num_tasks = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 1 <= task <= num_tasks:
        raise UsageError(
            f"--task={flag_values.task}: expected i/n with i from 1 to n, as --task=1/3"
        )
    if flag_values.on_error == "fail" and flag_values.max_errors is not None:
        raise UsageError("--max_errors has a meaning with --on_error=skip only")
    run_jobs = None
    if flag_values.runner == "beam":
        if num_tasks > 1:
            raise UsageError("--task is for --runner=local; Beam itself deals out the shards")
        run_jobs = beam_runner.BeamJobs(arguments)
    return conversion.Options(
        run_jobs=run_jobs,
        num_workers=flag_values.workers or workers.available_cores(),
        task=task,
        num_tasks=num_tasks,
        max_skipped=0 if flag_values.on_error == "fail" else flag_values.max_errors,
    )


def _fraction(flag_values: flags.FlagValues) -> float | None:
    fraction: float | None = flag_values.validation_fraction
    if fraction is None:
        if flag_values.validation_labels and not flag_values.validation:
            raise UsageError("--validation_labels needs the images it is about: --validation")
        return None
    if flag_values.validation:
        raise UsageError("--validation_fraction is for sets without --validation; name one of them")
    if not 0 < fraction < 1:
        raise UsageError(f"--validation_fraction={fraction:g}: expected more than 0, less than 1")
    return fraction


def _folder(path: str) -> str:
    path = files.expand_user(path)
    return path.rstrip("/") if files.is_remote(path) else os.path.normpath(path)


def _shards(name: str, value: str) -> int | None:
    if value == "auto":
        return None
    if re.fullmatch(r"[1-9]\d{0,4}", value):
        return int(value)
    raise UsageError(f"--{name}={value}: expected auto or a number from 1 to 99999")


def _row(values: object) -> str:
    return "  ".join(f"{float(value):8.3f}" for value in values)  # type: ignore[attr-defined]


def run() -> None:
    """Entry point of the console script."""
    command.run(define_flags, main, __doc__)


if __name__ == "__main__":
    run()
