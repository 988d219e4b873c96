"""Layer types of the 2012 files as rows of a table."""

import numpy as np
import pytest

from alexnet_tf.tables import summary
from alexnet_tf.tables.cuda_convnet import ini, reader
from alexnet_tf.tables.rows import TableError
from tests.tables.cuda_convnet.definitions import CONV, SMALL, small, write


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
    for wrong in ((3, 3, 4, -1, -1), (1, -1, 1), (3, 3, -1, 4, 3), (3, 3, -2, -1)):
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


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("partialSum=4", "partialSum=64"), ""),
        (("partialSum=4", "partialSum=0"), ""),
        (("partialSum=4", "partialSum=5"), "partialSum=5: must be 0 or divide the 64 modules"),
        (("partialSum=4", ""), "partialSum: is missing"),
        (("padding=1", "stride=4"), "stride=4: must not be larger than filterSize"),
        (("filters=16", "filters=24"), "filters=24: times groups must be a multiple of 16"),
    ],
)
def test_strict_limits_of_convolutions(tmp_path, change, message):
    path = tmp_path / "layers-strict.cfg"
    text = SMALL.format(middle=CONV.replace(*change) + "gpu=0\n", top="conv", init="0.1")
    path.write_text(text.replace("[logprob]", "[logprob]\ngpu=0"))
    reader.read(str(path), input_size=8)
    if not message:
        assert reader.read(str(path), input_size=8, strict=True).num_classes == 10
        return
    with pytest.raises(ini.DefinitionError, match=message):
        reader.read(str(path), input_size=8, strict=True)


def test_nails_are_strictly_two_pixels_apart(tmp_path):
    text = "[n]\ntype=nailbed\ninputs=data\nchannels=3\nstride=1\ngpu=0\n"
    assert small(tmp_path, text, "n").shapes()["n"] == (8, 8, 3)
    with pytest.raises(ini.DefinitionError, match="stride=1: must be 2 or more"):
        small(tmp_path, text, "n", strict=True)


def test_pool_settings_and_ties(tmp_path):
    text = """
    [pool]
    type=pool
    inputs=data
    channels=3
    pool=max
    sizeX=3
    stride=2
    start=-1
    outputsX=5
    """.replace("\n    ", "\n")
    row = small(tmp_path, text, "pool").row("pool")
    assert (row.kind, row.size, row.stride, row.start, row.outputs) == ("max", 3, 2, -1, 5)
    assert row.ties == "one"
    assert small(tmp_path, text, "pool", pool_ties="all").row("pool").ties == "all"
    with pytest.raises(TableError, match="pool_ties must be one or all"):
        small(tmp_path, text, "pool", pool_ties="some")
    for wrong, message in (
        (("stride=2", "stride=4"), "stride=4: must be from 1 to 3"),
        (("sizeX=3", "sizeX=9"), "sizeX=9: must be from 1 to 8"),
        (("pool=max", "pool=mean"), "must be max, maxabs, avg or rand"),
    ):
        with pytest.raises(ini.DefinitionError, match=message):
            small(tmp_path, text.replace(*wrong), "pool")


WEIGHTS = "[fc]\nepsW=0.1\nepsB=0.1\nmomW=0.9\nmomB=0.9\n[logprob]\ncoeff=1\n"


def test_random_pooling_can_be_made_plain(tmp_path):
    text = "[p]\ntype=pool\npool=rand\ninputs=data\nchannels=3\nsizeX=2\nstride=2\n"
    for key, kind in (("", "rand"), ("doMax=0\n", "rand"), ("doMax=true\n", "max")):
        path = write(tmp_path, WEIGHTS + "[p]\n" + key, "layer-params-x.cfg")
        assert small(tmp_path, text, "p", layer_params=path).row("p").kind == kind


def test_constants_of_norms_stand_in_the_parameter_file(tmp_path):
    def norm(params, definition="", kind="cmrnorm", **options):
        text = f"[n]\ntype={kind}\ninputs=data\nchannels=3\nsize=2\n{definition}"
        path = write(tmp_path, WEIGHTS + "[n]\n" + params, "layer-params-x.cfg")
        return small(tmp_path, text, "n", layer_params=path, **options).row("n")

    row = norm("scale=0.1\npow=0.5\n")
    assert (row.alpha, row.beta, row.k, row.blocked) == (0.05, 0.5, 1.0, False)
    row = norm("scale=0.1\npow=0.5\nminDiv=0.25\n", "blocked=1\n")
    assert row.k == 0.25 and row.blocked
    assert norm("scale=0.1\npow=0.5\n", kind="rnorm").alpha == pytest.approx(0.025)
    # What the definition says counts where the parameter file says nothing.
    assert norm("scale=0.1\npow=0.5\n", "scale=7\npow=7\n").beta == 0.5
    assert norm("quantF=default\n", "scale=0.1\npow=0.5\n").alpha == 0.05
    with pytest.raises(ini.DefinitionError, match=r"\[n\] scale: is missing"):
        norm("pow=0.5\n")
    for size, message in (("1", "from 2 to 3 channels"), ("4", "from 2 to 3 channels")):
        with pytest.raises(ini.DefinitionError, match=message):
            norm("scale=0.1\npow=0.5\n", f"size={size}\n")


@pytest.mark.parametrize(("kind", "alpha"), [("cmrnorm", 3.0), ("rnorm", 1.0), ("cnorm", 1.0)])
def test_norms_of_the_dialect_of_2011(tmp_path, kind, alpha):
    # Section 1.11: `sizeX`, and scale and pow in the definition; scale / 3, or scale / 9.
    path = write(tmp_path, WEIGHTS, "layer-params-x.cfg")
    text = f"[n]\ntype={kind}\ninputs=data\nchannels=3\nsizeX=3\nscale=9\npow=0.5\ngpu=0\n"
    row = small(tmp_path, text, "n", layer_params=path).row("n")
    assert (row.size, row.alpha, row.beta) == (3, alpha, 0.5)
    with pytest.raises(ini.DefinitionError, match=rf"{kind} needs a section \[n\]"):
        small(tmp_path, text, "n", layer_params=path, strict=True)
    if kind != "cmrnorm":
        # Strictly the name is `size`; cmrnorm refuses 3 channels before.
        both = write(tmp_path, WEIGHTS + "[n]\nscale=9\npow=0.5\n", "layer-params-x.cfg")
        with pytest.raises(ini.DefinitionError, match="size: is missing"):
            small(tmp_path, text, "n", layer_params=both, strict=True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("type=hs\nkeep=1.5", "keep=1.5: must be from 0 to 1"),
        ("type=hs", "keep: is missing"),
        ("type=hs\nkeep=0", r"cfg:\d+: .*keep=0: must be above 0"),
        ("type=neuron", "neuron: is missing"),
        ("type=blur\nchannels=3\nfilterSize=4\nstdev=1", "filterSize=4: must be 3, 5, 7 or 9"),
        ("type=blur\nchannels=3\nfilterSize=9\nstdev=1", "filterSize=9"),
        ("type=href\nchannels=4", "channels=4"),
        ("type=resize\nchannels=3\nscale=3", "scale=3: must be from 0.5 to 2"),
        ("type=rscale\nchannels=3\nmaxScale=1.5\ntgtSize=4", "tgtSize=4: must be from 5 to 8"),
        ("type=rscale\nchannels=3\nmaxScale=3\ntgtSize=8", "maxScale=3: must be from 1 to 2"),
        ("type=fc\noutputs=0\ninitW=1", "outputs=0: must be 1 or more"),
        ("type=fc\noutputs=2", "initW: is missing"),
    ],
)
def test_limits_of_other_types(tmp_path, text, message):
    with pytest.raises(ini.DefinitionError, match=message):
        small(tmp_path, f"[x]\ninputs=data\n{text}\n", "x")


def test_rscale_and_colours_of_the_image(tmp_path):
    text = "[r]\ntype=rscale\ninputs=data\nchannels=3\nmaxScale=1.5\ntgtSize=5\n"
    text += "[yuv]\ntype=rgb2yuv\ninputs=r\n[lab]\ntype=rgb2lab\ninputs=yuv\ncenter=true\n"
    net = small(tmp_path, text, "lab")
    assert net.shapes()["lab"] == (5, 5, 3) and net.row("lab").centered


def test_vectors_of_equal_length_join_whatever_their_shapes(tmp_path):
    # Every output of 2012 is a vector, stored channel after channel.
    text = "[v]\ntype=fc\ninputs=data\noutputs=192\ninitW=0.01\n"
    text += "[sum]\ntype=eltsum\ninputs=data,v\n[max]\ntype=eltmax\ninputs=v,data\n"
    text += "[soft]\ntype=softmax\ninputs=data\n[all]\ntype=eltsum\ninputs=sum,max,soft\n"
    net = small(tmp_path, text, "all")
    assert net.shapes()["all"] == (192,)
    tf = pytest.importorskip("tensorflow")
    from alexnet_tf.model import build

    model = build.build(net)
    weights = {name: np.asarray(v) for name, v in build.named_variables(model).items()}
    x = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype(np.float32)
    v = x.reshape(2, -1) @ weights["v/kernel"]
    stored = x.transpose(0, 3, 1, 2).reshape(2, -1)
    soft = np.exp(stored) / np.exp(stored).sum(axis=1, keepdims=True)
    joined = stored + v + np.maximum(stored, v) + soft
    expected = joined @ weights["fc/kernel"]
    np.testing.assert_allclose(model(tf.constant(x)), expected, rtol=1e-3, atol=1e-4)
