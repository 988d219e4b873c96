"""Matrices that several layers share (`weightSource`), and copies of other runs' (`initWFunc`)."""

import numpy as np
import pytest

from alexnet_tf.tables.cuda_convnet import ini, reader
from tests.tables.cuda_convnet.definitions import SMALL, small, write


def test_shared_weights_are_one_variable(tmp_path):
    pytest.importorskip("tensorflow")
    from alexnet_tf.model import build

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


def test_shared_matrices_must_fit(tmp_path):
    def shared(own="outputs=192", source="one", **options):
        text = "[one]\ntype=fc\ninputs=data\noutputs=192\ninitW=0.1\ngpu=0\n"
        text += f"[two]\ntype=fc\ninputs=one\n{own}\ninitW=0.1\nweightSource={source}\ngpu=0\n"
        return small(tmp_path, text, "two", **options)

    assert any("of the owner of a matrix govern it" in note for note in shared().notes)
    with pytest.raises(ini.DefinitionError, match="the matrix of one is 192x192, not 192x64"):
        shared("outputs=64")
    with pytest.raises(ini.DefinitionError, match="one has 1 matrix"):
        shared(source="one[1]")
    with pytest.raises(ini.DefinitionError, match="three is not an earlier layer of this type"):
        shared(source="three")
    with pytest.raises(ini.DefinitionError, match="9] is not an earlier layer of this type"):
        shared(source=f"one[{'9' * 5_000}]")
    # Without neighbours that lack a gpu, which strict reading would refuse first.
    other = tmp_path / "layers-gpus.cfg"
    text = "[one]\ntype=fc\ninputs=data\noutputs=192\ninitW=0.1\ngpu=0\n"
    text += "[two]\ntype=fc\ninputs=one\noutputs=192\ninitW=0.1\nweightSource=one\ngpu=1\n"
    other.write_text(SMALL.format(middle=text, top="two", init="0.1"))
    with pytest.raises(ini.DefinitionError, match="weightSource=one: one lies on another gpu"):
        reader.read(str(other), input_size=8, strict=True)


RATES = "[{name}]\nepsW={rate}\nepsB=0.02\nmomW=0.9\nmomB=0.9\n"
CONVS = """
[one]
type=conv
inputs=data
channels=3
filters=4
filterSize=1
initW=0.1
[two]
type=conv
inputs=data
channels=3
filters=4
filterSize=1
initW=0.1
weightSource=one
[both]
type=eltsum
inputs=one,two
coeffs=1,2
"""
FCS = """
[one]
type=fc
inputs=data
outputs=4
initW=0.1
[two]
type=fc
inputs=data
outputs=4
initW=0.1
weightSource=one
[both]
type=eltsum
inputs=one,two
coeffs=1,2
"""


@pytest.mark.parametrize(
    ("definition", "rate", "expected"),
    [
        # Both layers see the same image; the second counts twice in the sum.
        # Convolutions: 1 + 2 under the owner's rate, whatever the sharer's, unless it is 0.
        (CONVS, "0.01", 3.0),
        (CONVS, "0.04", 3.0),
        (CONVS, "0", 1.0),
        # Others: its own rate times its gradient, here 4 times the owner's: 1 + 4 x 2.
        (FCS, "0.01", 3.0),
        (FCS, "0.04", 9.0),
        (FCS, "-1", 1.0),
    ],
)
def test_what_sharers_add_to_a_gradient(tmp_path, definition, rate, expected):
    tf = pytest.importorskip("tensorflow")
    from alexnet_tf.model import build

    params = RATES.format(name="one", rate="0.01") + RATES.format(name="two", rate=rate)
    params += RATES.format(name="fc", rate="0.01") + "[logprob]\ncoeff=1\n"
    path = write(tmp_path, params, "layer-params-x.cfg")
    net = small(tmp_path, definition, "both", layer_params=path, rates="file")
    model = build.build(net)
    variables = build.named_variables(model)
    assert "two/kernel" not in variables and "two/bias" in variables
    image = tf.random.stateless_normal([2, 8, 8, 3], [1, 2])

    def gradient(model):
        with tf.GradientTape() as tape:
            outputs = tf.reduce_sum(model(image)[:, 0])
        return tape.gradient(outputs, [build.named_variables(model)["one/kernel"]])[0]

    # The same net whose second layer has a matrix of its own: what the owner adds alone.
    alone = small(tmp_path, definition.replace("weightSource=one", ""), "both", layer_params=path)
    other = build.build(alone)
    others = build.named_variables(other)
    for name, variable in variables.items():
        others[name].assign(variable)
    np.testing.assert_allclose(gradient(model), expected * gradient(other), rtol=1e-4, atol=1e-5)


def test_the_tree_layer_shares_and_copies_nothing(tmp_path):
    # Section 2: treefc has one input, initW and initB; other keys are unknown to it, so ignored.
    text = SMALL.format(middle="", top="data", init="0.1").replace("type=fc", "type=treefc")
    path = write(tmp_path, text.replace("initW", "weightSource=x\ninitWFunc=a.b(c)\ninitW"))
    params = RATES.format(name="fc", rate="0.1") + "schedW=what\nwball=1,2\n[logprob]\ncoeff=1\n"
    layer_params = write(tmp_path, params, "layer-params-x.cfg")
    net = reader.read(path, layer_params, input_size=8, tree=(2, 2, -1))
    assert all(kernel.source == "" for kernel in net.row("fc").kernels)
    assert {kernel.schedule for kernel in net.row("fc").kernels} == {None}
    for key in ("weightSource", "initWFunc", "schedW", "wball"):
        assert any(f"[fc] {key}=" in note and "no meaning" in note for note in net.notes), key


def test_python_functions_of_the_author_are_not_run(tmp_path):
    # Section 2: a checkpoint hook, otherwise initW and initB, and say so.
    text = SMALL.format(middle="", top="data", init="0.1")
    hook = text.replace("initW=", "initWFunc=initw.makew(fc8)\ninitBFunc=initw.makeb(fc8)\ninitW=")
    net = reader.read(write(tmp_path, hook), input_size=8)
    assert net.imports == (("fc/kernel", "fc8/kernel0"), ("fc/bias", "fc8/bias"))
    own = text.replace("initW=", "initWFunc=mine.make(3, 4)\ninitBFunc=mine.ones()\ninitW=")
    net = reader.read(write(tmp_path, own), input_size=8)
    assert net.imports == () and net.row("fc").kernels[0].init_stddev == 0.1
    notes = [note for note in net.notes if "Python function" in note]
    assert ["initWFunc=mine.make(3, 4)" in notes[0], "begins with initW" in notes[0]] == [
        True,
        True,
    ]
    assert ["initBFunc=mine.ones()" in notes[1], "begins with initB" in notes[1]] == [True, True]
    none = text.replace("initW=", "initWFunc=none\ninitW=")
    assert not reader.read(write(tmp_path, none), input_size=8).imports


def test_a_shared_matrix_is_not_copied_from_another_run(tmp_path):
    text = FCS.replace("weightSource=one", "weightSource=one\ninitWFunc=initw.makew(fc8)")
    assert small(tmp_path, text, "both").imports == ()
