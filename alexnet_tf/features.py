"""Writes what layers of a trained network say of images: features for other programs.

Example:
  python -m alexnet_tf.features --workdir=RUN --layers=fc7 --split=validation --output=fc7.npy
  python -m alexnet_tf.features --workdir=RUN --layers=conv5,fc7 --images=photos --output=photos.npz
  find photos -name '*.jpg' | python -m alexnet_tf.features --workdir=RUN --layers=fc7 --images=- \\
      --output=photos.zarr

Layers are named as in the network's table (--print_network of alexnet_tf.train): conv5 is both
columns' channels, conv5a one column's. Images are a split of a dataset, or files: in folders, named
one by one, or listed on stdin. Order and file names are kept. A .npz file has an array per layer,
`names`, and of a split `labels` (from 0); a .npy file has one layer, with names and labels in a
.csv beside it; .zarr is a Zarr group. JSON on stdout says what was written.
"""

from __future__ import annotations

import json

from absl import flags

from alexnet_common import command, progress
from alexnet_common.errors import UsageError
from alexnet_tf import network_flags


def define_flags(flag_values: flags.FlagValues) -> None:
    """Defines the command's flags."""
    network_flags.define(flag_values)
    flags.DEFINE_list(
        "layers", None, "Layers, such as conv5,fc7; conv5a is one column.", flag_values=flag_values
    )
    network_flags.define_images(flag_values)
    network_flags.define_reading(flag_values)
    flags.DEFINE_enum(
        "views",
        "1",
        ["1", "10"],
        "1: the centre; 10: the mean over corners, centre and mirror images.",
        flag_values=flag_values,
    )
    flags.DEFINE_string(
        "output", None, "What to write: NAME.npy, .npz or .zarr.", flag_values=flag_values
    )
    flags.mark_flags_as_required(["layers", "output"], flag_values=flag_values)


def main(flag_values: flags.FlagValues, arguments: list[str]) -> int:
    """Runs the command."""
    source = network_flags.image_source(flag_values, arguments)
    if not flag_values.layers:
        raise UsageError("--layers names no layer")
    # Before the network is loaded, which takes seconds.
    from alexnet_tf.inference import writers

    writers.check(flag_values.output, flag_values.layers)
    network = network_flags.load(flag_values)
    from alexnet_tf.inference import extract, selection

    selection.choose(network.run.table, flag_values.layers)
    batches, total, origin = source.open(network, flag_values)
    facts = network_flags.facts(network) | {
        "layers": flag_values.layers,
        "views": int(flag_values.views),
        "images": origin,
    }
    written = extract.extract(
        network,
        batches,
        flag_values.layers,
        flag_values.output,
        views=int(flag_values.views),
        facts=facts,
        progress=progress.bar("features", total),
    )
    network_flags.tell_skipped(written.skipped)
    report = {
        "output": flag_values.output,
        "count": written.count,
        "shapes": {name: list(shape) for name, shape in written.shapes.items()},
        "skipped": [{"name": name, "reason": reason} for name, reason in written.skipped],
    }
    print(json.dumps(facts | report, ensure_ascii=False))
    return 0


def run() -> None:
    """Console entry point."""
    command.run(define_flags, main, __doc__)


if __name__ == "__main__":
    run()
