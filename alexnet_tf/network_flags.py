"""Flags that name a trained network and images for it, for commands that ask networks."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from absl import flags

from alexnet_common.errors import UsageError, UserError
from alexnet_common.messages import log
from alexnet_common.tensorflow_import import import_tensorflow
from alexnet_tf import recipes

if TYPE_CHECKING:
    from alexnet_tf.inference.images import Batch
    from alexnet_tf.inference.network import Network


def define(flag_values: flags.FlagValues) -> None:
    """Defines --workdir, --model, --recipe, --checkpoint and --data_dir."""
    flags.DEFINE_string("workdir", "", "Work folder of a run.", flag_values=flag_values)
    flags.DEFINE_string(
        "model",
        "",
        "In place of --workdir a file of weights: torchvision's alexnet (a PyTorch state dict), "
        "Caffe's bvlc_alexnet (.npy, .npz), or a .npz of ours with --recipe and --data_dir.",
        flag_values=flag_values,
    )
    flags.DEFINE_string(
        "recipe", "", "With --model: recipe of the network.", flag_values=flag_values
    )
    recipes.define_checkpoint_flag(flag_values)
    flags.DEFINE_string(
        "data_dir",
        "",
        "Dataset of --split; empty: the one the run was trained on.",
        flag_values=flag_values,
    )


def define_images(flag_values: flags.FlagValues) -> None:
    """Defines --images and --split."""
    flags.DEFINE_multi_string(
        "images",
        [],
        "A folder of images, an image file, or - for a list of files on stdin, one a line.",
        flag_values=flag_values,
    )
    flags.DEFINE_string(
        "split", "", "In place of --images: a split of the dataset.", flag_values=flag_values
    )


def define_reading(flag_values: flags.FlagValues) -> None:
    """Defines --batch_size and --on_error."""
    flags.DEFINE_integer(
        "batch_size", 32, "Images at a time.", lower_bound=1, flag_values=flag_values
    )
    flags.DEFINE_enum(
        "on_error",
        "fail",
        ["fail", "skip"],
        "A file that is not an image ends the command, or is skipped and reported.",
        flag_values=flag_values,
    )


def tell_skipped(skipped: list[tuple[str, str]]) -> None:
    """A line on stderr for every file that was left out."""
    for name, reason in skipped:
        log(f"left out: {name}: {reason}")


def load(flag_values: flags.FlagValues) -> Network:
    """The network that the flags name.

    Raises:
        UsageError: none, or two of them.
        UserError: as `alexnet_tf.load`.
    """
    if bool(flag_values.workdir) == bool(flag_values.model):
        raise UsageError("name the network: either --workdir=RUN or --model=FILE")
    import_tensorflow()
    from alexnet_tf.inference import network

    if flag_values.model:
        return network.load(
            flag_values.model, recipe=flag_values.recipe, data_dir=flag_values.data_dir
        )
    return network.load(flag_values.workdir, flag_values.checkpoint, data_dir=flag_values.data_dir)


def facts(network: Network) -> dict[str, Any]:
    """Where a network comes from, for JSON."""
    run = network.run
    return {
        "source": str(run.folder),
        "network": run.table.name,
        "recipe": run.config.name,
        "checkpoint": run.which,
        "step": run.state["step"],
    }


@dataclass(frozen=True)
class ImageSource:
    """Images that were asked for: a split, or places."""

    split: str
    places: list[str]

    def open(
        self, network: Network, flag_values: flags.FlagValues
    ) -> tuple[Iterator[Batch], int, str]:
        """Batches of the images, their number, and what they are in words.

        Raises:
            UserError: nothing there.
        """
        from alexnet_tf.inference import images

        batch_size = flag_values.batch_size
        if self.split:
            data = dataset_of(network, flag_values.data_dir)
            count = data.split(self.split).count
            batches = images.of_split(data, self.split, batch_size)
            return batches, count, f"{self.split} split of {data.directory}"
        paths = images.find(self.places)
        batches = network.files(paths, batch_size, skip=flag_values.on_error == "skip")
        return batches, len(paths), "files"


def image_source(flag_values: flags.FlagValues, arguments: list[str]) -> ImageSource:
    """What --images, --split and arguments ask for; `-` is read from stdin at once.

    Raises:
        UsageError: none of them, or both.
    """
    places = [*flag_values.images, *arguments]
    if bool(places) == bool(flag_values.split):
        raise UsageError("name the images: either --images=FOLDER|FILE|- or --split=validation")
    if "-" in places:
        listed = [line.rstrip("\r\n") for line in sys.stdin]
        listed = [line for line in listed if line]
        if not listed:
            raise UserError("--images=-: stdin names no file")
        at = places.index("-")
        places[at : at + 1] = listed
    return ImageSource(flag_values.split, places)


def dataset_of(network: Network, data_dir: str) -> Any:
    """The dataset that a network was trained on, or another one of the same classes and size.

    Raises:
        UserError: it is not there, or does not fit.
    """
    from alexnet_tf.runs import dataset_copy
    from data_prep import dataset

    run = network.run
    place = data_dir or run.config.data_dir
    if not place:
        raise UsageError("--data_dir is missing: the dataset of the split")
    try:
        data = dataset.load(place)
    except dataset.DatasetError as error:
        if data_dir:
            raise
        raise UserError(
            f"the dataset that {run.folder} was trained on is not at {place} any more: pass its "
            "new place with --data_dir=DIR"
        ) from error
    dataset_copy.check_classes(run.facts, data, str(run.folder))
    if data.image_size != run.facts.image_size:
        raise UserError(
            f"{data.directory} holds images of {data.image_size}x{data.image_size} pixels, the "
            f"network expects {run.facts.image_size}x{run.facts.image_size}"
        )
    return data
