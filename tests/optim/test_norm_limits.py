"""What a unit is for the limits on norms, kind by kind, against NumPy loops.

layer_definitions.md 4.4: wcNorm per filter of a convolution; wball per filter (conv), per module
and filter (local), per output (fc), with the fan-in of the one matrix; none for a tree.
"""

import itertools
import textwrap

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from alexnet_tf.model import (
    build,
    grouped,
)
from alexnet_tf.optim import norm_limits
from alexnet_tf.tables import (
    rows,
    table,
)
from alexnet_tf.tables.cuda_convnet import reader

FILE = """
[data]
type=data
dataIdx=0
[labels]
type=data
dataIdx=1
[conv]
type=conv
inputs=data,data
channels=3,3
filters=16,16
filterSize=3,5
padding=1,2
stride=1,1
initW=0.3,0.3
[local]
type=local
inputs=conv
channels=16
filters=16
groups=2
filterSize=3
stride=2
initW=0.3
[fc]
type=fc
inputs=local,data
outputs=3
initW=0.3,0.3
[probs]
type=softmax
inputs=fc
[logprob]
type=cost.logreg
inputs=labels,probs
"""
PARAMETERS = """
[conv]
epsW=0.1,0.1
epsB=0.1
momW=0.9,0.9
momB=0.9
wball=0.01,0
wcNormMin=0.058,0
wcNormMax=0.06,0
[local]
epsW=0.1
epsB=0.1
momW=0.9
momB=0.9
wball=0.02
wcNormMin=0.1
wcNormMax=0.2
[fc]
epsW=0.1,0.1
epsB=0.1
momW=0.9,0.9
momB=0.9
wball=0.0,0.02
wcNormMax=0.1,0.1
[logprob]
coeff=1
"""


def net(tmp_path, kind="fc", **options):
    files = tmp_path / "layers.cfg", tmp_path / "layer-params.cfg"
    files[0].write_text(FILE)
    files[1].write_text(PARAMETERS)
    return reader.read(*map(str, files), input_size=6, **options)


def limited(model):
    """The model's kernels before and after the limits, by name."""
    before, after = {}, {}
    settings = {s.name: s for s in build.variable_settings(model)}
    for name, variable in build.named_variables(model).items():
        before[name] = np.asarray(variable)
        value = tf.Variable(before[name])
        norm_limits.apply(value, settings[name], tf.constant(True))
        after[name] = value.numpy()
    return before, after


def ball(w, limit):
    norm = np.sqrt((w**2).sum())
    return w * limit / norm if norm > limit else w


def test_each_kind_has_its_own_units(tmp_path):
    before, after = limited(build.build(net(tmp_path)))
    w = before["conv/kernel0"].copy()
    spreads = []
    for f in range(16):
        spread = np.sqrt(((w[..., f] - w[..., f].mean()) ** 2).sum()) / 27
        spreads.append(spread)
        w[..., f] *= min(max(spread, 0.058), 0.06) / spread
        w[..., f] = ball(w[..., f], 0.01 * 27)
    assert min(spreads) < 0.058 < 0.06 < max(spreads)
    np.testing.assert_allclose(after["conv/kernel0"], w, rtol=1e-5)

    # 3 x 3 positions, 8 channels of a group; wcNorm is no key of an untied layer.
    w = before["local/kernel"].copy()
    norms = []
    for y, x, f in itertools.product(range(3), range(3), range(32)):
        norms.append(np.sqrt((w[y, x, :, f] ** 2).sum()))
        w[y, x, :, f] = ball(w[y, x, :, f], 0.02 * 3 * 3 * 8)
    assert w.shape == (3, 3, 72, 32) and max(norms) > 0.02 * 72
    np.testing.assert_allclose(after["local/kernel"], w, rtol=1e-5)

    w = before["fc/kernel1"].copy()
    for output in range(3):
        w[:, output] = ball(w[:, output], 0.02 * 6 * 6 * 3)
    np.testing.assert_allclose(after["fc/kernel1"], w, rtol=1e-5)
    assert np.abs(w - before["fc/kernel1"]).max() > 0

    # No limit, no change; biases have none.
    unlimited = ["conv/kernel1", "fc/kernel0", "conv/bias", "local/bias", "fc/bias"]
    for name in unlimited:
        np.testing.assert_array_equal(after[name], before[name])


def test_a_tree_has_no_limits_in_files_and_nodes_as_units_by_hand(tmp_path):
    text = FILE.replace("type=fc\ninputs=local,data\noutputs=3", "type=treefc\ninputs=local")
    params = PARAMETERS.replace("wball=0.0,0.02", "wball=0.0001\nschedW=exp[10]\nschedB=exp[10]")
    for two, one in (("0.3,0.3\n[probs]", "0.3\n[probs]"), ("W=0.1,0.1", "W=0.1")):
        text = text.replace(two, one)
    head, tail = params.split("[fc]")
    tail = tail.replace("0.1,0.1", "0.1").replace("0.9,0.9", "0.9")
    files = tmp_path / "layers.cfg", tmp_path / "layer-params.cfg"
    files[0].write_text(textwrap.dedent(text))
    files[1].write_text(head + "[fc]" + tail)
    made = reader.read(*map(str, files), input_size=6, tree=(3, 3, 4, 4, -1))
    row = made.row("fc")
    assert isinstance(row, rows.TreeFullyConnected)
    assert all(k.norm_ball == 0 and k.norm_range == (0, 0) for k in row.kernels)
    assert all(k.schedule is None for k in row.kernels) and row.bias.schedule is None

    kernels = tuple(rows.Weights(init_stddev=1, norm_ball=0.05) for _ in range(3))
    tree = rows.TreeFullyConnected(
        name="t", inputs=("data",), outputs=3, parents=(3, 3, 4, 4, -1), kernels=kernels
    )
    model = build.build(table.Table("tree", (tree,), 3, 3))
    before, after = limited(model)
    expected = np.stack([ball(w, 0.05 * 27) for w in before["t/kernel0"]])
    assert np.abs(expected - before["t/kernel0"]).max() > 0
    np.testing.assert_allclose(after["t/kernel0"], expected, rtol=1e-5)


def test_kernels_with_limits_are_not_merged():
    kernel = rows.Weights(init_stddev=1, norm_ball=1.0)
    column = [
        rows.FullyConnected(name=f"h{c}", inputs=("data",), outputs=2, column=i, kernels=(kernel,))
        for i, c in enumerate("ab")
    ]
    top = rows.FullyConnected(name="top", inputs=("ha", "hb"), outputs=2, kernels=(kernel,) * 2)
    with pytest.raises(rows.TableError, match="kernels of top have limits"):
        grouped.merge(table.Table("two", (*column, top), 3, 2))
    free = rows.Weights(init_stddev=1)
    top = rows.FullyConnected(name="top", inputs=("ha", "hb"), outputs=2, kernels=(free,) * 2)
    assert "ha/kernel" not in grouped.merge(table.Table("two", (*column, top), 3, 2)).assemblies


def test_units_along_the_first_axis_by_hand():
    """Rows (1, 3) and (5, 5, ...): each is scaled by its own spread and norm."""
    weights = tf.constant([[1.0, 3.0, 1.0, 3.0], [10.0, 10.0, 30.0, 30.0]])
    # Deviations 1 and 10: root 2 and 20, divided by n = 4: 0.5 and 5; the limits are 1 and 2.
    found = norm_limits.within_range(weights, 1.0, 2.0, (0,)).numpy()
    assert np.allclose(found, [[2, 6, 2, 6], [4, 4, 12, 12]])
    # Norms sqrt(20) and sqrt(2000); at most 4 * 1.25 = 5 = sqrt(25).
    found = norm_limits.within_ball(weights, 1.25, (0,)).numpy()
    assert np.allclose(found[0], weights[0]) and np.isclose(np.linalg.norm(found[1]), 5)
