"""Prints or checks docs/fidelity.md: how the paper, the 2012 code and others' AlexNets differ.

Example:
  python -m tools.fidelity --output=docs/fidelity.md
  python -m tools.fidelity --check=docs/fidelity.md

The table is made from the resolved recipes, so that it says what the program does.
"""

from __future__ import annotations

import functools

from alexnet_common import command
from alexnet_tf import recipes
from tools import fidelity_table, generated_page

_INTRODUCTION = """# Fidelity: four networks that are called AlexNet

Made by `python -m tools.fidelity --output=docs/fidelity.md` from the recipes in `configs/`; a
test fails when it is out of date. Only settings in which the recipes differ are listed.

- `alexnet_paper`: what the text of the NIPS 2012 paper says. Where its words leave a choice, the
  reading under which training works: the eigenvalues of the colour noise are those of the
  covariance of pixels in [0, 1].
- `alexnet_code2012`: what the code of 2012 did in run 145, whose errors are the paper's table 2
  (40.66% / 18.21% on 10 views of the validation images, against the table's 40.7% / 18.2%), as far
  as its definition files and its run diary tell. One crop and one flip for 32 consecutive images,
  as its code drew them, is left to `--config.input.crop_chunk=32`; the whole gradient to each of
  equal maxima of a pooling window to `--config.network.pool_ties=all`.
- `alexnet_caffe`: Caffe's `bvlc_alexnet`.
- `alexnet_owt`: the net of "One weird trick" as torchvision has it.

"""


def page() -> str:
    """The whole page as Markdown."""
    configs = {name: recipes.resolve(recipes.load(name)) for name in fidelity_table.PROFILES}
    return _INTRODUCTION + fidelity_table.markdown(configs).rstrip() + "\n"


main = functools.partial(generated_page.main, page, "tools.fidelity")


def run() -> None:
    """Console entry point."""
    command.run(generated_page.define_flags, main, __doc__)


if __name__ == "__main__":
    run()
