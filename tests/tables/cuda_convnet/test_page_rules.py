"""Rules of the page on definition files that need no net of their own: sizes, gpus, neurons."""

import pytest

from alexnet_tf.tables import summary
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


C8 = CONV.replace("[conv]", "[c]").replace("filters=16", "filters=8")


@pytest.mark.parametrize(
    ("text", "shape", "parameters"),
    [
        # Section 2 by hand, of an image of 8 x 8 x 3; the layer c yields 8 x 8 x 8.
        # M = 1 + ceil((2p + S - k) / s).
        ("conv\nfilters=4\nfilterSize=3\nstride=2\ninitW=1", (4, 4, 4), 9 * 3 * 4 + 4),
        ("conv\nfilters=4\nfilterSize=5\nstride=3\npadding=2\ninitW=1", (4, 4, 4), 304),
        # Biases of each position: 3 x 3 x 4.
        ("conv\nfilters=4\nfilterSize=6\nsharedBiases=no\ninitW=1", (3, 3, 4), 36 * 12 + 36),
        ("local\nfilters=4\nfilterSize=3\nstride=2\ninitW=1", (4, 4, 4), 16 * (27 * 4 + 4)),
        ("conv\ninputs=c\nchannels=8\nfilters=3\ngroups=2\nfilterSize=1\ninitW=1", (8, 8, 6), 30),
        ("local\ninputs=c\nchannels=8\nfilters=3\ngroups=2\nfilterSize=1\ninitW=1", (8, 8, 6),
         64 * 30),
        ("fc\noutputs=5\ninitW=1", (5,), 192 * 5 + 5),
        # M = 1 + ceil((side - start - size) / stride), or outputsX where it is above 0.
        ("pool\npool=max\nsizeX=3\nstride=2", (4, 4, 3), 0),
        ("pool\npool=avg\nsizeX=3\nstride=3\nstart=-2", (4, 4, 3), 0),
        ("pool\npool=maxabs\nsizeX=2\nstride=2\nstart=3\noutputsX=-1", (3, 3, 3), 0),
        ("pool\npool=rand\nsizeX=8\nstride=1\noutputsX=2", (2, 2, 3), 0),
        ("cmrnorm\nsize=3", (8, 8, 3), 0),
        ("rnorm\nsize=8", (8, 8, 3), 0),
        ("cnorm\nsize=1", (8, 8, 3), 0),
        ("blur\nfilterSize=7\nstdev=3", (8, 8, 3), 0),
        # ceil(8 / 3); floor(8 / 1.5) and floor(8 / 0.5).
        ("nailbed\nstride=3", (3, 3, 3), 0),
        ("resize\nscale=1.5", (5, 5, 3), 0),
        ("resize\nscale=0.5", (16, 16, 3), 0),
        ("rscale\nmaxScale=2\ntgtSize=4", (4, 4, 3), 0),
        ("href", (8, 8, 3), 0),
        ("rgb2yuv", (8, 8, 3), 0),
        ("rgb2lab", (8, 8, 3), 0),
        ("softmax", (192,), 0),
        ("hs\nkeep=.5", (8, 8, 3), 0),
        ("neuron\nneuron=abs", (8, 8, 3), 0),
        ("eltsum\ninputs=data,data\ncoeffs=1,.5", (8, 8, 3), 0),
        ("eltmax\ninputs=data,data,data", (8, 8, 3), 0),
        ("concat\ninputs=data,c", (8, 8, 11), 0),
        # 768 values as an image of 12 channels.
        ("pool\ninputs=four\nchannels=12\npool=max\nsizeX=2\nstride=1", (7, 7, 12), 0),
    ],
)  # fmt: skip
def test_sizes_of_every_type(tmp_path, text, shape, parameters):
    """Options in any order, with blanks and in any case."""
    lines = text.split("\n")
    lines += [] if "inputs=" in text else ["inputs=data"]
    lines += [] if "channels=" in text or "concat" in text else ["channels=3"]
    four = "[four]\ntype=concat\ninputs=data,data,data,data\n"
    below = C8 * ("=c" in text or ",c" in text) + four * ("=four" in text)
    plain = small(tmp_path, f"{below}[x]\ntype=" + "\n".join(lines) + "\n", "x")
    assert plain.shapes()["x"] == shape
    counts = {layer.name: layer.parameters for layer in summary.layers(plain)}
    assert counts["x"] == parameters
    odd = [f"TYPE :  {lines[0]}", *(f"{k.upper()}\t= {v} " for k, v in (o.split("=", 1)
           for o in lines[1:]))]  # fmt: skip
    turned = f"{below}[x] and more\n" + "\n; why\n\n".join(reversed(odd)) + " ; what\n"
    assert small(tmp_path, turned, "x").layers == plain.layers


def test_a_value_for_one_input_is_not_one_for_all(tmp_path):
    # Section 1.6: scalars are not broadcast.
    text = "[x]\ntype=fc\ninputs=data,data\noutputs=2\ninitW=0.1\n"
    with pytest.raises(ini.DefinitionError, match="initW=0.1: must have 2 values, one per input"):
        small(tmp_path, text, "x")
    assert (
        small(tmp_path, text.replace("0.1", " 0.1 ,0.2 "), "x").row("x").kernels[1].init_stddev
        == 0.2
    )


@pytest.mark.parametrize(
    ("key", "value"), [("outputs", "1_0"), ("initW", "1_0"), ("outputs", "5.0")]
)
def test_numbers_are_those_of_python_2(tmp_path, key, value):
    options = {"outputs": "5", "initW": "1"} | {key: value}
    text = "".join(f"{k}={v}\n" for k, v in options.items())
    with pytest.raises(ini.DefinitionError, match=f"{key}={value}: must be"):
        small(tmp_path, f"[x]\ntype=fc\ninputs=data\n{text}", "x")


def test_data_may_say_how_copies_are_rounded(tmp_path):
    # Section 4.1: "Any layer: quantF, quantB".
    params = "[fc]\nepsW=0.1\nepsB=0.1\nmomW=0.9\nmomB=0.9\n[logprob]\ncoeff=1\n[data]\nquantF={}\n"
    path = write(tmp_path, params.format("half"), "layer-params-x.cfg")
    notes = small(tmp_path, layer_params=path).notes
    assert any("quantF=half (copies" in note for note in notes)
    assert not any("has no meaning" in note for note in notes)
    path = write(tmp_path, params.format("most"), "layer-params-x.cfg")
    with pytest.raises(ini.DefinitionError, match="quantF=most: must be default or half"):
        small(tmp_path, layer_params=path)


def test_a_layer_of_a_neuron_names_it(tmp_path):
    for line in ("", "neuron=\n"):
        with pytest.raises(ini.DefinitionError, match="neuron"):
            small(tmp_path, f"[x]\ntype=neuron\ninputs=data\n{line}", "x")


def test_a_blur_needs_a_width(tmp_path):
    text = "[x]\ntype=blur\ninputs=data\nchannels=3\nfilterSize=5\nstdev={}\n"
    assert small(tmp_path, text.format(2), "x").row("x").stddev == 2
    for width in ("0", "-1"):
        with pytest.raises(ini.DefinitionError, match=f"stdev={width}: must be above 0"):
            small(tmp_path, text.format(width), "x")
