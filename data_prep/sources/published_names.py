"""ILSVRC's own file names, from those that re-packed collections give the same images.

The order of a dataset and `image/filename` come from the names, so the same images under the names
of the raw archives are the same dataset.
"""

import re

# n01440764_10026.JPEG, ILSVRC2012_val_00000001.JPEG; Hugging Face appends the class.
_NAME = re.compile(
    r"(n\d{8}_\d+|ILSVRC20\d\d_(?:val|test|train)_\d{8})(?:_n\d{8})?(?:\.(?:jpe?g|png))?",
    re.IGNORECASE,
)


def original(name: str) -> str:
    """The name in the raw archives where this is a variant of one, else the name as it is.

    Only the part behind the last slash counts.
    """
    own = name.replace("\\", "/").rpartition("/")[2]
    match = _NAME.fullmatch(own)
    return f"{match[1]}.JPEG" if match else own
