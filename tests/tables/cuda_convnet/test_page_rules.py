"""Rules of the page on definition files that need no net of their own: sizes, gpus, neurons."""

import pytest

from alexnet_tf.tables.cuda_convnet import ini, reader
from tests.tables.cuda_convnet.definitions import CONV, SMALL, small, write

LOCAL = """
[{name}]
type=local
inputs={inputs}
channels=3
filters=16
filterSize=3
padding=1
initW=0.1
"""


@pytest.mark.parametrize(
    ("name", "middle", "top", "side"),
    [
        # Section 5: nets of the run archive 224 pixels; of CIFAR-10 32, conv-local 24 pixels;
        # layers-example, whose image conv32 and fc1024 read, 32; the gradient check 8.
        ("layers-80sec", CONV, "conv", 32),
        ("layers-145", CONV.replace("padding=1", "stride=4"), "conv", 224),
        ("layers-conv-local-13pct", LOCAL.format(name="x", inputs="data"), "x", 24),
        ("layers-example", LOCAL.format(name="x", inputs="data"), "x,data", 32),
        ("layers.gc", CONV, "conv", 8),
    ],
)
def test_the_authors_images(tmp_path, name, middle, top, side):
    init = ",".join(["0.1"] * (top.count(",") + 1))
    path = write(tmp_path, SMALL.format(middle=middle, top=top, init=init), f"{name}.cfg")
    assert reader.read(path).input_size == side
    assert reader.read(path, input_size=16).input_size == 16


def gpus(tmp_path, *, layer="gpu=0", cost="gpu=0", kind="cost.logreg", **options):
    text = SMALL.format(middle="", top="data", init=f"0.1\n{layer}")
    path = write(tmp_path, text.replace("type=cost.logreg", f"type={kind}\n{cost}"))
    return reader.read(path, input_size=8, **options)


def test_layers_that_read_data_first_must_strictly_name_their_gpu(tmp_path):
    # Trap 8: a cost layer starts with the labels, so it must carry its own gpu in strict mode.
    assert gpus(tmp_path, strict=True) == gpus(tmp_path)
    with pytest.raises(ini.DefinitionError, match=r"\[fc\] gpu: is missing"):
        gpus(tmp_path, layer="", strict=True)
    with pytest.raises(ini.DefinitionError, match=r"\[logprob\] gpu: is missing"):
        gpus(tmp_path, cost="", strict=True)
    assert gpus(tmp_path, layer="", cost="").num_classes == 10
    with pytest.raises(ini.DefinitionError, match="gpu=0,1: must be a whole number"):
        gpus(tmp_path, layer="gpu=0,1")
    with pytest.raises(ini.DefinitionError, match="gpu=2: must be from 0 to 1"):
        gpus(tmp_path, cost="gpu=2", gpus=2)


def test_a_layer_inherits_the_gpu_of_its_first_input_only(tmp_path):
    text = CONV + "gpu=1\n" + CONV.replace("[conv]", "[other]") + "gpu=0\n"
    text += "[both]\ntype=eltsum\ninputs=conv,other\n"
    net = small(tmp_path, text, "both")
    assert net.row("both").column == 1 and net.row("fc").column == 1


@pytest.mark.parametrize(
    "neuron",
    ["relu", "nrelu", "softrelu", "brelu[6]", "drelu[1]", "abs", "logistic", "tanh[1.7159,0.6667]",
     "tanh [1.7159, 0.6667]", "square", "sqrt", "linear[-1,.5]"],
)  # fmt: skip
def test_neurons_of_section_3(tmp_path, neuron):
    assert small(tmp_path, CONV + f"neuron={neuron}\n", "conv").row("conv").neuron == neuron


def test_ident_changes_nothing(tmp_path):
    net = small(tmp_path, CONV + "neuron=ident\n", "conv")
    assert net.layers == small(tmp_path, CONV, "conv").layers


@pytest.mark.parametrize(
    ("neuron", "message"),
    [
        ("abstanh", "unknown neuron"),
        ("Relu", "unknown neuron"),
        ("relu x", "unknown neuron"),
        ("brelu", "takes 1 number in"),
        ("brelu[1e3]", "unknown neuron"),
        ("relu[1]", "takes 0 numbers in"),
        ("tanh[1,]", "takes 2 numbers in"),
        ("tanh[1]", "takes 2 numbers in"),
    ],
)
def test_strings_that_are_not_neurons(tmp_path, neuron, message):
    with pytest.raises(ini.DefinitionError, match=rf"neuron=.*: .*{message}"):
        small(tmp_path, CONV + f"neuron={neuron}\n", "conv")


@pytest.mark.parametrize("kind", ["rgb2yuv", "rgb2lab"])
def test_colours_are_read_as_three_channels(tmp_path, kind):
    colours = f"[x]\ntype={kind}\ninputs=v\n"
    # Section 1.12: image layers read any vector as an image of theirs.
    vector = "[v]\ntype=concat\ninputs=data,w\n[w2]\ntype=neuron\nneuron=abs\ninputs=v\n"
    text = "[w]\ntype=nailbed\ninputs=data\nchannels=3\nstride=2\n" + vector.split("[w2]")[0]
    # 8 x 8 x 3 and 4 x 4 x 3 values: 80 per channel, which is not a square.
    with pytest.raises(ini.DefinitionError, match="not a square image of 3 channels"):
        small(tmp_path, text + colours, "x")
    four = text.replace("data,w", "w,w,w,w").replace("[w]", "[w]", 1)
    net = small(tmp_path, four + colours.replace("inputs=v", "inputs=v"), "x")
    assert net.shapes()["x"] == (8, 8, 3) and net.row("x").inputs == ("x_input0",)


def test_a_blur_needs_a_width(tmp_path):
    text = "[x]\ntype=blur\ninputs=data\nchannels=3\nfilterSize=5\nstdev={}\n"
    assert small(tmp_path, text.format(2), "x").row("x").stddev == 2
    for width in ("0", "-1"):
        with pytest.raises(ini.DefinitionError, match=f"stdev={width}: must be above 0"):
            small(tmp_path, text.format(width), "x")
