"""Names of neurons as the 2012 definition files write them; no TensorFlow."""

from __future__ import annotations

import re

from alexnet_common.counting import counted
from alexnet_common.errors import UserError

PARAMETERS = {
    "ident": 0,
    "relu": 0,
    "nrelu": 0,
    "softrelu": 0,
    "abs": 0,
    "logistic": 0,
    "square": 0,
    "sqrt": 0,
    "brelu": 1,
    "drelu": 1,
    "tanh": 2,
    "linear": 2,
}
"""Number of parameters in brackets of each neuron."""

LARGEST_NUMBER = (2 - 2**-23) * 2.0**127
"""The largest float32, in which the 2012 code held every number that is not whole."""

# No exponents, and no blanks around a plain name; they may stand in and before brackets.
_NOTATION = re.compile(r"(\w+)(?:\s*\[([-\d.,\s]*)\])?")


def parse_neuron(neuron: str) -> tuple[str, tuple[float, ...]]:
    """The name and the parameters of `neuron`, such as "tanh[1,1]".

    Raises:
        UserError: an unknown name, or another number of parameters than it takes.
    """
    match = _NOTATION.fullmatch(neuron)
    name, text = match.groups() if match else (neuron, None)
    if name not in PARAMETERS:
        names = ", ".join(sorted(PARAMETERS))
        raise UserError(f"unknown neuron {neuron!r}; neurons are {names}")
    try:
        parameters = tuple(float(part) for part in text.split(",")) if text else ()
    except ValueError:
        parameters = (0.0,) * 99
    if any(abs(number) > LARGEST_NUMBER for number in parameters):
        raise UserError(f"neuron {name!r}: a number is out of range, above {LARGEST_NUMBER:.10g}")
    if len(parameters) != PARAMETERS[name]:
        numbers = counted(PARAMETERS[name], "number")
        raise UserError(f"neuron {neuron!r} takes {numbers} in [ ]")
    return name, parameters
