"""Numbers of definition files that are too large: file, line, section and key are named."""

import re

import numpy as np
import pytest

from alexnet_tf.tables import notation
from alexnet_tf.tables.cuda_convnet import ini, values
from tests.tables.cuda_convnet.definitions import CONV, SMALL, small, write

LAYERS = f"""{CONV}neuron=relu
[pool]
type=pool
pool=max
inputs=conv
channels=16
sizeX=2
stride=2
start=0
outputsX=0
[norm]
type=rnorm
inputs=pool
channels=16
size=3
[hidden]
type=fc
inputs=norm
outputs=7
initW=0.1
initB=0.1
"""
PARAMETERS = """[conv]
epsW=0.001
epsB=0.002
momW=0.9
momB=0.9
wc=0.004
wball=0
[norm]
scale=0.001
pow=0.75
[hidden]
epsW=0.001
epsB=0.002
momW=0.9
momB=0.9
wc=0.004
[fc]
epsW=0.001
epsB=0.002
momW=0.9
momB=0.9
wc=0.004
[logprob]
coeff=1
"""
# Keys that hold no whole numbers; beyond a C float, and a C int.
FLOATS = {"initW", "initB", *re.findall(r"(?m)^(\w+)=", PARAMETERS)}
NO_FLOATS, NO_INTEGERS = ("9" * 400, "1e39", "1e400"), ("99999999999999999999", "9" * 400)
# Of the sections of data, which stand first.
LINES_BEFORE = SMALL[: SMALL.index("{middle}")].count("\n")


def read(tmp_path, layers, parameters):
    path = write(tmp_path, parameters, "layer-params-x.cfg")
    return small(tmp_path, layers, "hidden", layer_params=path)


def places(text):
    """Numbers of the text: where they stand, their line, section and key."""
    section = ""
    for match in re.finditer(r"(?m)^(?:\[(\w+)\]|(\w+)=([\d.]+))$", text):
        section = match[1] or section
        if match[2]:
            yield match.span(3), text.count("\n", 0, match.start()) + 1, section, match[2]


def test_the_limits_are_those_of_the_types_of_c():
    assert values.LARGEST_INTEGER == np.iinfo(np.int32).max
    assert notation.LARGEST_NUMBER == float(np.finfo(np.float32).max)


@pytest.mark.parametrize("of_parameters", [False, True])
def test_every_number_that_is_too_large_is_named_with_its_place(tmp_path, of_parameters):
    read(tmp_path, LAYERS, PARAMETERS)
    text = PARAMETERS if of_parameters else LAYERS
    tried = set()
    for (start, end), line, section, key in places(text):
        for large in NO_FLOATS if key in FLOATS else NO_INTEGERS:
            changed = text[:start] + large + text[end:]
            with pytest.raises(ini.DefinitionError) as error:
                read(tmp_path, *((LAYERS, changed) if of_parameters else (changed, PARAMETERS)))
            where = line if of_parameters else line + LINES_BEFORE
            assert f".cfg:{where}: [{section}] {key}=" in str(error.value)
            assert len(str(error.value)) < 300
        tried.add(key)
    assert len(tried) >= 9


@pytest.mark.parametrize(
    ("change", "key"),
    [
        (("neuron=relu", f"neuron=tanh[1,{'9' * 50}]"), "neuron"),
        (("filters=16", "filters=2147483647"), ""),
        (("padding=1", "padding=2147483647"), ""),
        (("outputs=7", "outputs=2147483647"), ""),
    ],
)
def test_what_numbers_within_the_limits_would_make_too_large(tmp_path, change, key):
    with pytest.raises(ini.DefinitionError, match=rf"\.cfg:\d+: \[\w+\] ?{key}") as error:
        read(tmp_path, LAYERS.replace(*change), PARAMETERS)
    assert re.search("out of range|there can be up to 2,147,483,647", str(error.value))


@pytest.mark.parametrize("schedule", ["exp[1e39]", "linear[tgtFactor=1e39]", "dexp[2,1e400]"])
def test_schedules_likewise(tmp_path, schedule):
    parameters = PARAMETERS.replace("wball=0", f"schedW={schedule}")
    with pytest.raises(ini.DefinitionError, match=r"\.cfg:7: \[conv\] schedW=.*out of range"):
        read(tmp_path, LAYERS, parameters)
