"""Draws the paper's figures of your own network, and what goes into them, as PNG and SVG.

Example:
  python -m alexnet_tf.figures kernels --workdir=RUN --output_dir=pictures

kernels        the first layer's kernels by column, with a colour score each (figure 3)
top5           images with bars of the five most probable classes (figure 4, left)
neighbors      test images and the training images nearest to them (figure 4, right)
activations    the maps of a layer for one image
augmentation   what the network is shown in training: crops, mirror images, colour noise
curves         loss and errors of one run or several over the epochs
network        the table of layers as a diagram (figure 2)

Each kind has a --help of its own. Files are named after the kind; JSON on stdout names them, and
holds the numbers in them.
"""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING

from absl import flags

from alexnet_common import command, files
from alexnet_common.errors import UsageError
from alexnet_common.messages import log
from alexnet_common.suggestions import did_you_mean
from alexnet_tf.figure_kinds import KINDS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = ("png", "svg")


def call(argv: list[str]) -> int:
    """Draws the kind that `argv[0]` names with the flags behind it; returns the exit status."""
    if not argv or argv[0] not in KINDS:
        return command.call(_define_nothing, _no_kind, __doc__, argv)
    kind = argv[0]
    define, draw, doc = KINDS[kind]

    def define_flags(flag_values: flags.FlagValues) -> None:
        define(flag_values)
        flags.DEFINE_string("output_dir", None, "Folder of the files.", flag_values=flag_values)
        flags.mark_flag_as_required("output_dir", flag_values=flag_values)
        flags.DEFINE_list(
            "format", list(FORMATS), "What to write: png, svg or both.", flag_values=flag_values
        )

    def main(flag_values: flags.FlagValues, arguments: list[str]) -> int:
        if arguments:
            raise UsageError(f"unexpected argument {arguments[0]!r}")
        wrong = [name for name in flag_values.format if name not in FORMATS]
        if wrong or not flag_values.format:
            raise UsageError(f"--format must be png, svg or png,svg, not {','.join(wrong)!r}")
        figure, facts = draw(flag_values)
        written = _write(figure, kind, flag_values.output_dir, flag_values.format)
        log(f"wrote {' and '.join(written)}")
        print(json.dumps({"kind": kind, "files": written, **facts}, ensure_ascii=False))
        return 0

    return command.call(define_flags, main, doc, argv[1:])


def _write(figure: Figure, kind: str, folder: str, formats: list[str]) -> list[str]:
    from alexnet_tf.analysis import plots

    save = {"png": plots.png, "svg": plots.svg}
    contents = {os.path.join(folder, f"{kind}.{name}"): save[name](figure) for name in formats}
    for path, content in contents.items():
        files.write_atomically(path, content)
    return list(contents)


def _define_nothing(flag_values: flags.FlagValues) -> None:
    """Each kind has flags of its own."""


def _no_kind(flag_values: flags.FlagValues, arguments: list[str]) -> int:
    listed = ", ".join(KINDS)
    if not arguments:
        raise UsageError(f"no kind named; there are {listed}: python -m alexnet_tf.figures KIND")
    hint = did_you_mean(arguments[0], KINDS)
    raise UsageError(f"no kind {arguments[0]!r}{hint or '; there are ' + listed}")


def run() -> None:
    """Console entry point."""
    sys.exit(call(sys.argv[1:]))


if __name__ == "__main__":
    run()
