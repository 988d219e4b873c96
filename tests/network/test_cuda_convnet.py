"""The reader of the 2012 files: the eleven pairs, all layer types, dialects, and errors."""

import configparser
import math
import textwrap

import numpy as np
import pytest

from alexnet_tf.network import rows, summary, table
from alexnet_tf.network.cuda_convnet import ini, reader
from data_prep import command

# layer_definitions.md 6.1: weights, biases, side of some layers.
WORKED = {
    "145": (60_954_656, 10_568, {"conv1a": 55, "pool1b": 27, "pool2a": 13, "pool3b": 6}),
    "145-half": (59_788_304, 10_008, {"conv1a": 55, "conv5a": 13, "pool3a": 6}),
    "147": (60_954_656, 10_568, {"pool1a": 28, "conv2a": 26, "conv5b": 11, "pool3a": 6}),
    "148": (60_954_656, 10_568, {"pool1a": 27, "conv2b": 27}),
    "150": (60_699_680, 14_728, {"conv2a": 27, "pool3b": 6}),
    "167": (60_954_656, 10_568, {"rnorm1a": 55, "pool2a": 13}),
    "146-2011": (110_571_552, 33_715, {"conv6a": 6, "pool3a": 6}),
    "80sec": (145_376, 202, {"conv1": 32, "pool1": 16, "pool2": 8, "pool3": 4}),
    "18pct": (89_440, 138, {"rnorm1": 16, "rnorm2": 8}),
    "19pct": (89_440, 138, {"pool3": 4}),
    "conv-local-13pct": (1_114_048, 2_442, {"pool1": 12, "pool2": 6, "local4": 6}),
}
PER_LAYER = {
    "145": {
        "conv1a": 17_472,
        "conv2b": 153_728,
        "conv3a": 442_560,
        "conv4b": 331_968,
        "conv5a": 221_312,
        "fc2048b": 18_876_416,
        "fc2048ba": 8_390_656,
        "fc1000": 4_097_000,
    },
    "150": {"conv2a": 192_160, "conv3b": 276_672, "fc4096a": 18_878_464, "fc2048bb": 8_390_656},
    "146-2011": {
        "conv6b": 295_040,
        "fc1a": 4_195_328,
        "fc1000a": 22_377_129,
        "fc1000b": 22_379_178,
    },
    "conv-local-13pct": {"local3": 663_552 + 1152, "local4": 331_776 + 1152, "fc10": 11_530},
}
FIELDS = {
    # r = r + (k - 1) j by hand; the spatial norm of layer 2 sees 5 x 5 as well.
    "145": {"conv1a": 11, "pool1a": 19, "conv2a": 51, "cnorm2a": 83, "pool2a": 99, "conv5a": 195},
    "148": {"conv2a": 51, "pool2a": 67, "conv5b": 163, "pool3a": 195},
    "147": {"pool1a": 15, "conv2a": 47},
    "80sec": {"conv1": 5, "pool1": 7, "conv2": 15, "pool2": 19, "conv3": 35, "pool3": 43},
}


@pytest.fixture
def files(real_data):
    folder = real_data / "layer_definitions_2012"

    def pair(name):
        return str(folder / f"layers-{name}.cfg"), str(folder / f"layer-params-{name}.cfg")

    return pair


@pytest.mark.parametrize("name", WORKED)
def test_shipped_files_have_the_counts_and_shapes_of_the_description(files, name):
    weights, biases, sides = WORKED[name]
    net = reader.read(*files(name))
    layers = {layer.name: layer for layer in summary.layers(net)}
    assert summary.parameter_count(net) == weights + biases
    assert f"({weights:,} weights and {biases:,} biases)" in table.describe(net)
    assert {key: layers[key].shape[0] for key in sides} == sides
    for key, count in PER_LAYER.get(name, {}).items():
        assert layers[key].parameters == count
    for key, field in FIELDS.get(name, {}).items():
        assert layers[key].receptive_field == field
    # The definition alone is enough for shapes and counts.
    assert summary.parameter_count(reader.read(files(name)[0])) == weights + biases


@pytest.mark.parametrize("name", WORKED)
def test_our_sections_are_those_of_an_independent_parser(files, name):
    for path in files(name):
        parser = configparser.RawConfigParser(strict=False)
        with open(path) as file:
            parser.read_file(file)
        ours = ini.read(path)
        assert list(ours) == parser.sections()
        for section in ours.values():
            values = {key: option.value for key, option in section.options.items()}
            assert values == dict(parser.items(section.name))


def follow(path, side):
    """Side, channels, receptive field and jump of every layer, from the file's bare text."""
    parser = configparser.RawConfigParser(strict=False)
    parser.read(path)
    known = {}
    for name in parser.sections():
        section = dict(parser.items(name))
        kind = section["type"]
        if kind == "data":
            known[name] = (side, 3, 1, 1)
            continue
        if kind in ("softmax", "concat") or kind.startswith("cost"):
            continue
        inputs = [known[i.strip()] for i in section["inputs"].split(",")]
        first = inputs[0]
        field, jump = max(i[2] for i in inputs), first[3]
        if kind in ("conv", "local"):
            size, pad, stride = (
                int(section[key].split(",")[0]) for key in ("filtersize", "padding", "stride")
            )
            count = 1 + math.ceil((2 * pad + first[0] - size) / stride)
            filters = int(section["filters"].split(",")[0])
            known[name] = (count, filters, field + (size - 1) * jump, jump * stride)
        elif kind == "pool":
            size, stride = int(section["sizex"]), int(section["stride"])
            count = 1 + math.ceil((first[0] - size) / stride)
            known[name] = (count, first[1], field + (size - 1) * jump, jump * stride)
        elif kind == "rnorm":
            size = int(section.get("size", section.get("sizex")))
            known[name] = (first[0], first[1], field + (size - 1) * jump, jump)
        elif kind == "fc":
            known[name] = (0, int(section["outputs"]), 0, 0)
        else:
            assert kind in ("cmrnorm", "hs")
            known[name] = first
    return known


@pytest.mark.parametrize("name", WORKED)
def test_every_layer_has_the_shape_and_the_receptive_field_of_the_text(files, name):
    net = reader.read(files(name)[0])
    expected = follow(files(name)[0], net.input_size)
    compared = 0
    for layer in summary.layers(net):
        if layer.name in expected:
            side, channels, field, jump = expected[layer.name]
            assert layer.shape == ((side, side, channels) if side else (channels,)), layer.name
            assert (layer.receptive_field, layer.jump) == (field, jump), layer.name
            compared += 1
    assert compared >= len(net.layers) - 2


def test_run_145_says_what_its_files_say(files):
    net = reader.read(*files("145"))
    lrn = net.row("rnorm1a")
    assert lrn.inputs == ("conv1a",) and net.row("conv1a").neuron == ""
    assert (lrn.size, lrn.k, lrn.beta) == (5, 2.0, 0.75)
    assert lrn.alpha == pytest.approx(2e-5)
    spatial = net.row("cnorm2a")
    assert isinstance(spatial, rows.SameMapNorm) and spatial.alpha == pytest.approx(4e-5)
    assert net.row("pool1a").neuron == "relu" and net.row("conv2a").neuron == "relu"
    assert net.row("conv4a").kernels[0].init_stddev == 0.03
    assert net.row("conv4a").bias.init == 1
    assert net.row("fc2048bb").inputs == ("hs1b", "hs1a")
    assert net.row("fc2048bb").column == 1 and net.row("conv4b").column == 1
    assert net.row("hs1a").form == "paper"
    assert net.cost.top_k == 5 and net.output_name == "fc1000"


def test_a_last_state_is_not_where_training_begins(files):
    net = reader.read(*files("145"), base_rate=0.01)
    conv1 = net.row("conv1a")
    assert conv1.kernels[0].learning_rate_multiplier == 1.0
    assert conv1.bias.learning_rate_multiplier == 2.0
    assert any("begins with 0.01 for weights and 0.02 for biases" in note for note in net.notes)
    as_filed = reader.read(*files("145"), rates="file", base_rate=1e-5)
    assert as_filed.row("conv1a").kernels[0].learning_rate_multiplier == 0
    assert as_filed.row("conv3a").kernels[1].learning_rate_multiplier == pytest.approx(1)
    assert as_filed.row("conv3a").bias.learning_rate_multiplier == pytest.approx(2000)


def test_the_examples_files_hold_their_own_start(files):
    net = reader.read(*files("80sec"), base_rate=0.001)
    assert net.row("conv2").kernels[0].learning_rate_multiplier == pytest.approx(1)
    assert net.row("fc10").bias.learning_rate_multiplier == pytest.approx(2)
    assert net.row("fc10").kernels[0].weight_decay == 0.03
    assert net.row("fc10").kernels[0].momentum == 0.9


def test_old_schedules_are_read_tolerantly_and_refused_strictly(files):
    net = reader.read(*files("167"))
    kernel = net.row("conv2a").kernels[0]
    assert (kernel.schedule.kind, kernel.schedule.target, kernel.schedule.steps) == (
        "dexp",
        1000,
        4,
    )
    assert net.row("conv2a").bias.schedule.steps == 2
    # conv1 was frozen late in the run: a new one begins like the others.
    assert net.row("conv1a").kernels[0].learning_rate_multiplier == 1
    with pytest.raises(ini.DefinitionError, match=r"layer-params-167.cfg:8: \[conv1a\] schedW"):
        reader.read(*files("167"), strict=True)


def test_strict_reading_accepts_the_final_dialect_only(files):
    for name in ("145", "145-half", "146-2011", "147", "148", "150"):
        assert reader.read(*files(name), strict=True) == reader.read(*files(name))
    with pytest.raises(ini.DefinitionError, match=r"\[conv1\] gpu: is missing"):
        reader.read(*files("18pct"), strict=True)


def test_no_meaning_is_named_once(files):
    notes = reader.read(*files("146-2011")).notes
    assert sum("partialSum" in note for note in notes) == 1
    assert sum("initWFunc" in note for note in notes) == 1


def test_by_name_with_the_datasets_classes(files):
    layers, params = files("80sec")
    config = {"name": "cuda_convnet", "layers": layers, "layer_params": params}
    assert table.from_config(config, 10).num_classes == 10
    with pytest.raises(command.UserError, match="10 outputs, but the dataset has 7"):
        table.from_config(config, 7)
    with pytest.raises(command.UserError, match="--config.layers"):
        table.from_config({"name": "cuda_convnet"}, 10)


def write(tmp_path, text, name="layers-x.cfg"):
    path = tmp_path / name
    path.write_text(textwrap.dedent(text))
    return str(path)


def tower(c, other):
    return f"""
    [conv1{c}]
    type=conv
    inputs=data
    channels=3
    filters=32
    filterSize=11
    stride=4
    initW=0.01
    partialSum=5
    gpu={"ab".index(c)}

    [pool1{c}]
    type=pool
    pool=max
    inputs=conv1{c}
    sizeX=3
    stride=2
    channels=32
    neuron=relu

    [rnorm1{c}]
    type=cmrnorm
    inputs=pool1{c}
    channels=32
    size=9

    [conv2{c}]
    type=conv
    inputs=nails0,rnorm1{c}
    channels=3,32
    filters=128,128
    filterSize=5,5
    stride=2,1
    padding=0,2
    initW=0.01,0.01
    initB=1
    partialSum=3
    neuron=relu
    gpu={"ab".index(c)}

    [rnorm2{c}]
    type=cmrnorm
    inputs=conv2{c}
    channels=128
    size=9

    [pool2{c}]
    type=pool
    pool=max
    inputs=rnorm2{c}
    sizeX=3
    stride=2
    channels=128
    """


def upper(c, other):
    gpu = "ab".index(c)
    return f"""
    [conv3{c}]
    type=conv
    inputs=pool2{c},pool2{other}
    channels=128,128
    filters=192,192
    filterSize=3,3
    padding=1,1
    initW=0.03,0.03
    partialSum=13
    neuron=relu
    gpu={gpu}

    [conv4{c}]
    type=conv
    inputs=conv3{c}
    channels=192
    filters=192
    filterSize=3
    padding=1
    initW=0.03
    partialSum=13
    neuron=relu

    [conv5{c}]
    type=conv
    inputs=conv4{c}
    channels=192
    filters=128
    filterSize=3
    padding=1
    initW=0.03
    partialSum=13

    [pool3{c}]
    type=pool
    pool=max
    inputs=conv5{c}
    sizeX=3
    stride=2
    channels=128
    neuron=relu
    """


def fc(name, inputs, outputs, gpu, neuron="relu"):
    count = inputs.count(",") + 1
    return f"""
    [{name}]
    type=fc
    inputs={inputs}
    outputs={outputs}
    initW={",".join(["0.01"] * count)}
    neuron={neuron}
    gpu={gpu}
    """


def hs(name, source):
    return f"""
    [{name}]
    type=hs
    inputs={source}
    keep=0.5
    """


def test_run_114_with_its_low_resolution_branch(tmp_path):
    # Not in the data; written from the description (section 6.1), which gives its counts.
    text = """
    [data]
    type=data
    dataIdx=0

    [labels]
    type=data
    dataIdx=1

    [blur0]
    type=blur
    inputs=data
    channels=3
    filterSize=9
    stdev=4
    gpu=0

    [nails0]
    type=nailbed
    inputs=blur0
    channels=3
    stride=4
    """
    text += tower("a", "b") + tower("b", "a") + upper("a", "b") + upper("b", "a")
    below = "pool3a,pool3b"
    for level, mark in enumerate(("", "b", "c"), start=1):
        for gpu, c in enumerate("ab"):
            text += fc(f"fc3072{mark}{c}", below, 3072, gpu)
            text += hs(f"hs{level}{c}", f"fc3072{mark}{c}")
        below = f"hs{level}a,hs{level}b"
    text += fc("fc1000", below, 1000, 0, "ident")
    text += """
    [probs]
    type=softmax
    inputs=fc1000

    [logprob]
    type=cost.logreg
    inputs=labels,probs
    gpu=0
    """
    path = tmp_path / "layers-114.cfg"
    path.write_text("\n".join(line.strip() for line in text.split("\n")))
    net = reader.read(str(path), strict=True)
    layers = {layer.name: layer for layer in summary.layers(net)}
    assert layers["nails0"].shape == (56, 56, 3)
    assert layers["conv2a"].shape == (27, 27, 128)
    assert layers["conv2a"].parameters == 112_128
    assert layers["fc3072a"].parameters == 28_314_624
    assert layers["fc3072ca"].parameters == 18_877_440
    assert summary.parameter_count(net) == 140_523_240


SMALL = """
[data]
type=data
dataIdx=0

[labels]
type=data
dataIdx=1

{middle}

[fc]
type=fc
inputs={top}
outputs=10
initW={init}

[probs]
type=softmax
inputs=fc

[logprob]
type=cost.logreg
inputs=labels,probs
"""


def small(tmp_path, middle="", top="data", init="0.1", **options):
    path = tmp_path / "layers-small.cfg"
    path.write_text(SMALL.format(middle=textwrap.dedent(middle), top=top, init=init))
    return reader.read(str(path), **{"input_size": 8} | options)


CONV = """
[conv]
type=conv
inputs=data
channels=3
filters=16
filterSize=3
padding=1
initW=0.1
partialSum=4
"""


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("type=conv", "type=conw"), r":12: \[conv\] type=conw: unknown type; did you mean conv"),
        (("filters=16", "filters=x"), r":15: \[conv\] filters=x: must be whole numbers"),
        (("filters=16", ""), r":11: \[conv\] filters: is missing"),
        (("channels=3", "channels=4"), r"\[conv\] channels=4: the image yields 8x8x3 values"),
        (("filterSize=3", "filterSize=13"), r"filterSize=13: is larger than the padded image"),
        (("padding=1", "padding=1,1"), r"padding=1,1: must hold 1 values, one per input, not 2"),
        (("padding=1", "padding=-1"), r"padding=-1: must be 0 or more"),
        (("inputs=data", "inputs=dat"), r"'dat' is no earlier layer; did you mean data"),
        (("initW=0.1", "initW=0.1\nneuron=rellu"), r"neuron=rellu: unknown neuron"),
        (("initW=0.1", "initW=0.1\nneuron=tanh"), r"takes 2 numbers"),
        (("initW=0.1", "initW=0.1\ngroups=2"), r"groups=2: must divide 3 channels"),
        (("initW=0.1", "initW 0.1"), r"'initW 0.1' is neither key=value nor \[section\]"),
    ],
)
def test_errors_name_file_line_section_and_key(tmp_path, change, message):
    with pytest.raises(ini.DefinitionError, match=r"layers-small.cfg:\d+: "):
        small(tmp_path, CONV.replace(*change), "conv")
    with pytest.raises(ini.DefinitionError, match=message):
        small(tmp_path, CONV.replace(*change), "conv")


def test_structural_errors(tmp_path):
    with pytest.raises(ini.DefinitionError, match="no layer reads conv"):
        small(tmp_path, CONV)
    with pytest.raises(ini.DefinitionError, match="cannot be read"):
        reader.read(str(tmp_path / "nothing.cfg"))
    path = write(tmp_path, "[data]\ntype=data\ndataIdx=0\n")
    with pytest.raises(ini.DefinitionError, match="no layer reads data"):
        reader.read(path)
    path = write(tmp_path, "type=data\n")
    with pytest.raises(ini.DefinitionError, match="before any"):
        reader.read(path)
    two = "[x]\ntype=eltmax\ninputs=data\n"
    with pytest.raises(ini.DefinitionError, match="eltmax takes at least 2 inputs, not 1"):
        small(tmp_path, two, "x")


def test_a_missing_parameter_section_is_fatal_and_one_too_many_is_not(tmp_path):
    params = "[fc]\nepsW=0.1\nepsB=0.1\nmomW=0.9\nmomB=0.9\n[logprob]\ncoeff=1\n[extra]\nx=1\n"
    path = write(tmp_path, params, "layer-params-x.cfg")
    assert small(tmp_path, layer_params=path).row("fc").kernels[0].momentum == 0.9
    with pytest.raises(ini.DefinitionError, match=r"conv needs a section \[conv\]"):
        small(tmp_path, CONV, "conv", layer_params=path)


def test_the_dialect(tmp_path):
    text = """\
    # comment
    ; comment
    rem comment, as in old batch files
    [one] text after the bracket is ignored
    Key = value
    colon: value ; a comment after a blank
    hash=value # no comment
    semicolon=a;b
    empty=""
    long = first
      second

      third
    percent=100%%
    other=%(key)s!
    [two]
    key=1
    [one]
    key=later
    """
    path = tmp_path / "x.cfg"
    path.write_bytes(textwrap.dedent(text).replace("\n", "\r\n").encode())
    sections = ini.read(str(path))
    assert list(sections) == ["one", "two"]
    values = {key: option.value for key, option in sections["one"].options.items()}
    assert values == {
        "key": "later",
        "colon": "value",
        "hash": "value # no comment",
        "semicolon": "a;b",
        "empty": "",
        "long": "first\nsecond\nthird",
        "percent": "100%",
        "other": "later!",
    }
    assert sections["one"].options["key"].line == 19


@pytest.mark.parametrize("text", ["[a]\nx=%y\n", "[a]\nx=%(b)s\n", " [a]\nx=1\n", "[a]\nx\n"])
def test_what_the_dialect_refuses(text):
    with pytest.raises(ini.DefinitionError):
        ini.parse(text, "x.cfg")


def test_byte_order_mark(tmp_path):
    path = tmp_path / "x.cfg"
    path.write_bytes(b"\xef\xbb\xbf[a]\nx=1\n")
    assert ini.read(str(path))["a"].options["x"].value == "1"
    with pytest.raises(ini.DefinitionError):
        ini.read(str(path), strict=True)


def test_split_sections_are_merged(tmp_path):
    # Two files of the archive divide a section; one loses `enable` where the last one wins.
    params = (
        "[hs]\nenable=false\n[fc]\nepsW=0.1\nepsB=0.1\nmomW=0.9\nmomB=0.9\n[logprob]\ncoeff=1\n"
    )
    params += "[hs]\nquantF=half\n"
    path = write(tmp_path, params, "layer-params-x.cfg")
    net = small(tmp_path, "[hs]\ntype=hs\ninputs=data\nkeep=0.8\n", "hs", layer_params=path)
    assert not net.row("hs").enabled and net.row("hs").keep == 0.8
    assert any("quantF=half" in note for note in net.notes)


def test_other_layer_types(tmp_path):
    middle = """
    [mirror]
    type=href
    inputs=data
    channels=3

    [small]
    type=resize
    inputs=mirror
    channels=3
    scale=2

    [avg]
    type=pool
    inputs=data
    channels=3
    pool=avg
    sizeX=2
    stride=2

    [sum]
    type=eltsum
    inputs=small,avg
    coeffs=0.5,-1

    [max]
    type=eltmax
    inputs=small,avg

    [both]
    type=concat
    inputs=sum,max

    [contrast]
    type=cnorm
    inputs=both
    channels=3
    size=3
    scale=9
    pow=0.5

    [tanh]
    type=neuron
    neuron=tanh[1.7159,0.6667]
    inputs=contrast
    """.replace("channels=3\n    size", "channels=6\n    size")
    net = small(tmp_path, middle, "tanh")
    shapes = net.shapes()
    assert shapes["small"] == (4, 4, 3) and shapes["both"] == (4, 4, 6)
    assert net.row("sum").coefficients == (0.5, -1)
    assert net.row("contrast").alpha == 1.0
    assert net.row("tanh").neuron == "tanh[1.7159,0.6667]"


def test_an_image_layer_reads_a_vector_as_an_image(tmp_path):
    middle = """
    [vector]
    type=fc
    inputs=data
    outputs=64
    initW=0.1

    [conv]
    type=conv
    inputs=vector
    channels=4
    filters=16
    filterSize=3
    initW=0.1
    """
    net = small(tmp_path, middle, "conv")
    assert net.shapes()["conv"] == (2, 2, 16)
    assert net.row("conv").inputs == ("conv_input0",)


def test_groups_random_connections_and_shared_weights(tmp_path):
    first = CONV.replace("filters=16", "filters=32")
    middle = (
        first
        + """
    [two]
    type=conv
    inputs=conv
    channels=32
    filters=16
    groups=2
    filterSize=3
    padding=1
    initW=0.1
    randSparse=1
    filterChannels=32

    [three]
    type=conv
    inputs=two
    channels=32
    filters=32
    filterSize=3
    padding=1
    initW=0.1

    [four]
    type=conv
    inputs=three
    channels=32
    filters=32
    filterSize=3
    padding=1
    initW=0.1
    weightSource=three
    """
    )
    net = small(tmp_path, middle.replace("\n    ", "\n"), "four")
    layers = {layer.name: layer for layer in summary.layers(net)}
    two = net.row("two")
    assert two.filters == 32 and len(two.kernels[0].connections) == 64
    assert sorted(two.kernels[0].connections[:32]) == list(range(32))
    assert layers["two"].kernels == ((3, 3, 32, 32),)
    assert net.row("four").kernels[0].source == "three/kernel"
    # Shared matrices count once; the bias is never shared.
    assert layers["four"].parameters == 32
    assert small(tmp_path, middle.replace("\n    ", "\n"), "four", seed=1) != net


def test_shared_weights_are_one_variable(tmp_path):
    pytest.importorskip("tensorflow")
    from alexnet_tf.network import build

    middle = """
    [one]
    type=fc
    inputs=data
    outputs=192
    initW=0.1

    [two]
    type=fc
    inputs=one,one,data,one
    outputs=192
    initW=0.1,0.1,0.1,0.1
    initB=3
    weightSource=,two[0],one,two[1]
    """
    net = small(tmp_path, middle, "two")
    assert [k.source for k in net.row("two").kernels] == [
        "", "two/kernel0", "one/kernel", "two/kernel0",
    ]  # fmt: skip
    model = build.build(net)
    weights = {name: np.asarray(v) for name, v in build.named_variables(model).items()}
    assert set(weights) == {
        "one/kernel", "one/bias", "two/kernel0", "two/bias", "fc/kernel", "fc/bias",
    }  # fmt: skip
    x = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype(np.float32)
    flat = x.reshape(2, -1)
    one = flat @ weights["one/kernel"]
    two = 3 * one @ weights["two/kernel0"] + flat @ weights["one/kernel"] + 3
    np.testing.assert_allclose(model(x), two @ weights["fc/kernel"], rtol=1e-3, atol=1e-2)


def test_strict_channels_and_layers_without_gradient(tmp_path):
    norm = "[n]\ntype=rnorm\ninputs=conv\nchannels=18\nsize=3\n"
    odd = CONV.replace("filters=16", "filters=18")
    assert small(tmp_path, odd + norm, "n").shapes()["n"] == (8, 8, 18)
    odd = odd.replace("initW=0.1", "initW=0.1\ngpu=0")
    with pytest.raises(ini.DefinitionError, match="filters=18: times groups must be a multiple"):
        small(tmp_path, odd + norm, "n", strict=True)
    with pytest.raises(ini.DefinitionError, match="type=resize: has no gradient"):
        small(tmp_path, CONV + "[r]\ntype=resize\ninputs=conv\nchannels=16\nscale=2\n", "r")
    with pytest.raises(ini.DefinitionError, match="size=9: must be from 1 to 8 pixels"):
        small(tmp_path, CONV + norm.replace("18", "16").replace("size=3", "size=9"), "n")


def test_a_tree_layer_needs_its_tree(tmp_path):
    path = tmp_path / "tree.cfg"
    text = SMALL.format(middle="", top="data", init="0.1")
    path.write_text(text.replace("type=fc", "type=treefc"))
    params = "[fc]\nepsW=0.1\nepsB=0.2\nmomW=0.9\nmomB=0.9\nwc=0.3\n[logprob]\ncoeff=1\n"
    layer_params = write(tmp_path, params, "layer-params-tree.cfg")
    with pytest.raises(ini.DefinitionError, match="label tree"):
        reader.read(str(path), input_size=8)
    for wrong in ((3, 3, 4, -1, -1), (1, -1, 1)):
        with pytest.raises(ini.DefinitionError, match="one root"):
            reader.read(str(path), input_size=8, tree=wrong)
    net = reader.read(str(path), layer_params, input_size=8, tree=(3, 3, 4, 4, -1), base_rate=0.1)
    assert net.num_classes == 3
    assert summary.parameter_count(net) == 5 * 8 * 8 * 3 + 3
    # Rate and decay divided by 1, 2 and 3 leaves.
    kernels = net.row("fc").kernels
    assert [k.learning_rate_multiplier for k in kernels] == pytest.approx([1, 1 / 2, 1 / 3])
    assert [k.weight_decay for k in kernels] == pytest.approx([0.3, 0.15, 0.1])
    assert net.row("fc").bias.learning_rate_multiplier == pytest.approx(2)


def test_jumping_schedules_of_two_runs_meant_the_rate_before(tmp_path):
    params = "[fc]\nepsW=0.01\nepsB=0.02\nmomW=0.9\nmomB=0.9\nschedW=jdexp[250,4]\n"
    params += "[logprob]\ncoeff=1\n"
    rates = {}
    for run in (172, 174):
        path = write(tmp_path, params, f"layer-params-{run}.cfg")
        kernel = small(tmp_path, layer_params=path).row("fc").kernels[0]
        rates[run] = kernel.schedule.rate(0.01, 0.4)
    assert rates == pytest.approx({172: 0.01, 174: 0.00398422}, rel=1e-5)


def test_costs_of_the_multi_label_nets(tmp_path):
    def with_cost(tail):
        text = SMALL.format(middle="", top="data", init="0.1")
        text = text[: text.index("[probs]")].replace("initW", "neuron=logistic\ninitW")
        path = tmp_path / "layers-flickr.cfg"
        path.write_text(text + textwrap.dedent(tail))
        return reader.read(str(path), input_size=8)

    net = with_cost("[cost]\ntype=cost.crossent2\ninputs=labels,fc\n")
    assert net.cost.from_logits and net.row("fc").neuron == ""
    net = with_cost("[cost]\ntype=cost.rflickr\ninputs=labels,fc\n")
    assert not net.cost.from_logits and net.row("fc").neuron == "logistic"
    net = with_cost(
        """
        [diff]
        type=eltsum
        inputs=labels,fc
        coeffs=1,-1
        [cost]
        type=cost.sum2
        inputs=diff
        """
    )
    assert net.cost.scales == (1, -1) and net.output_name == "fc"
    with pytest.raises(ini.DefinitionError, match=r"type=cost.tica: is not supported"):
        with_cost("[cost]\ntype=cost.tica\ninputs=fc\n")
