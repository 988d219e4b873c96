"""How far a command is: a bar on a terminal, one line elsewhere, always on stderr."""

from __future__ import annotations

import sys
from collections.abc import Callable

from alexnet_common.counting import counted
from alexnet_common.messages import log


def bar(label: str, total: int) -> Callable[[int], None]:
    """A function that is told, part by part, how many more of `total` images are done."""
    if not sys.stderr.isatty():
        log(f"{label}: {counted(total, 'image')}")
        return lambda count: None
    from tqdm import tqdm

    shown = tqdm(total=total, desc=label, unit="img", leave=False, dynamic_ncols=True)

    def update(count: int) -> None:
        shown.update(count)
        if shown.n >= total:
            shown.close()

    return update
