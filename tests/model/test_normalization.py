"""Response normalisation against NumPy loops, and the vectors of the 2012 definitions."""

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from alexnet_tf.model.ops import normalization


def loop_across_maps(x, size, alpha, beta, k):
    y = np.zeros(x.shape)
    channels = x.shape[-1]
    for c in range(channels):
        total = 0
        for j in range(c - size // 2, c - size // 2 + size):
            if 0 <= j < channels:
                total = total + x[..., j].astype(np.float64) ** 2
        y[..., c] = x[..., c] / (k + alpha * total) ** beta
    return y


def loop_within_map(x, size, alpha, beta, contrast=False):
    side = x.shape[1]
    d = x.astype(np.float64).copy()

    def window(row, column):
        top, left = row - size // 2, column - size // 2
        return (
            slice(max(top, 0), min(top + size, side)),
            slice(max(left, 0), min(left + size, side)),
        )

    if contrast:
        for row in range(side):
            for column in range(side):
                a, b = window(row, column)
                d[:, row, column] -= x[:, a, b].mean(axis=(1, 2), dtype=np.float64)
    y = np.zeros(x.shape)
    for row in range(side):
        for column in range(side):
            a, b = window(row, column)
            total = (d[:, a, b] ** 2).sum(axis=(1, 2))
            y[:, row, column] = x[:, row, column] * (1 + alpha * total) ** -beta
    return y


@pytest.fixture
def images():
    return np.random.default_rng(0).normal(0, 60, (2, 7, 7, 11)).astype(np.float32)


# alexnet.md 1.3: paper, 2012 code, Caffe, the CIFAR 11% net.
VARIANTS = {
    "paper": dict(size=5, alpha=1e-4, beta=0.75, k=2),
    "code2012": dict(size=5, alpha=1e-4 / 5, beta=0.75, k=2),
    "caffe": dict(size=5, alpha=1e-4 / 5, beta=0.75, k=1),
    "cifar11": dict(size=9, alpha=1e-3 / 9, beta=0.75, k=1),
    "steep": dict(size=3, alpha=1e-3, beta=1.5, k=1),
    "even": dict(size=4, alpha=1e-3, beta=0.5, k=1),
}


@pytest.mark.parametrize("implementation", ["tf", "tf_fast_gradient", "banded", "shifted"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_across_maps_equals_a_loop(images, variant, implementation):
    constants = VARIANTS[variant]
    ours = normalization.across_maps(images, implementation=implementation, **constants)
    np.testing.assert_allclose(ours, loop_across_maps(images, **constants), rtol=2e-5, atol=1e-5)


def test_vectors_of_the_2012_definitions():
    # layer_definitions.md 2: all inputs 100.
    x = np.full((1, 9, 9, 16), 100, np.float32)
    y = normalization.across_maps(x, size=5, alpha=1e-4 / 5, beta=0.75, k=2).numpy()
    assert y[0, 4, 4, 8] == pytest.approx(43.86913, abs=1e-4)
    assert y[0, 4, 4, 0] == pytest.approx(48.83936, abs=1e-4)
    y = normalization.within_map(x, size=5, alpha=1e-3 / 25, beta=0.75).numpy()
    assert y[0, 4, 4, 0] == pytest.approx(16.55600, abs=1e-4)
    assert y[0, 0, 0, 0] == pytest.approx(31.83696, abs=1e-4)


@pytest.mark.parametrize("implementation", ["tf_fast_gradient", "banded", "shifted"])
@pytest.mark.parametrize("groups", [1, 2])
def test_our_gradient_equals_tensorflows(implementation, groups):
    rng = np.random.default_rng(1)
    x = tf.constant(rng.normal(0, 60, (2, 7, 7, 12)).astype(np.float32))
    upstream = rng.normal(size=x.shape).astype(np.float32)
    results = []
    for chosen in ("tf", implementation):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = normalization.across_maps(
                x, size=5, alpha=1e-4, beta=0.75, k=2, groups=groups, implementation=chosen
            )
            loss = tf.reduce_sum(y * upstream)
        results.append((y.numpy(), tape.gradient(loss, x).numpy()))
    np.testing.assert_allclose(results[0][0], results[1][0], rtol=1e-5)
    np.testing.assert_allclose(results[0][1], results[1][1], atol=2e-6)


def test_groups_are_columns():
    x = np.random.default_rng(1).normal(0, 60, (2, 7, 7, 12)).astype(np.float32)
    constants = VARIANTS["paper"]
    halves = [loop_across_maps(x[..., a : a + 6], **constants) for a in (0, 6)]
    for implementation in ("tf", "tf_fast_gradient", "banded", "shifted"):
        ours = normalization.across_maps(x, groups=2, implementation=implementation, **constants)
        np.testing.assert_allclose(ours, np.concatenate(halves, -1), rtol=2e-5, atol=1e-5)


def test_blocked_windows_are_fixed_blocks(images):
    y = normalization.across_maps(images, size=4, alpha=1e-3, beta=0.75, k=1, blocked=True)
    expected = np.zeros(images.shape)
    for c in range(11):
        block = images[..., c // 4 * 4 : c // 4 * 4 + 4].astype(np.float64)
        expected[..., c] = images[..., c] * (1 + 1e-3 * (block**2).sum(-1)) ** -0.75
    np.testing.assert_allclose(y, expected, rtol=2e-5, atol=1e-5)


@pytest.mark.parametrize("size", [3, 4, 5])
def test_within_map_and_contrast_equal_loops(images, size):
    ours = normalization.within_map(tf.constant(images), size=size, alpha=4e-5, beta=0.75)
    np.testing.assert_allclose(
        ours, loop_within_map(images, size, 4e-5, 0.75), rtol=2e-5, atol=1e-5
    )
    ours = normalization.contrast(tf.constant(images), size=size, alpha=4e-5, beta=0.75)
    expected = loop_within_map(images, size, 4e-5, 0.75, contrast=True)
    np.testing.assert_allclose(ours, expected, rtol=2e-5, atol=1e-5)


def test_contrast_gradient_holds_the_mean_constant():
    # layer_definitions.md 2, cnorm: g s^-b - 2 a b d_i sum over windows with i of g_j x_j s_j^-b-1.
    rng = np.random.default_rng(2)
    x = rng.normal(0, 60, (1, 5, 5, 1)).astype(np.float32)
    g = rng.normal(size=x.shape)
    size, alpha, beta, side = 4, 1e-3, 0.75, 5
    flat = x[0, :, :, 0].astype(np.float64)
    windows = {
        (r, c): [
            (a, b)
            for a in range(r - 2, r + 2)
            for b in range(c - 2, c + 2)
            if 0 <= a < side and 0 <= b < side
        ]
        for r in range(side)
        for c in range(side)
    }
    d = {p: flat[p] - np.mean([flat[q] for q in windows[p]]) for p in windows}
    s = {p: 1 + alpha * sum(d[q] ** 2 for q in windows[p]) for p in windows}
    expected = np.zeros((side, side))
    for i in windows:
        spread = sum(
            g[0, j[0], j[1], 0] * flat[j] * s[j] ** (-beta - 1) for j in windows if i in windows[j]
        )
        expected[i] = g[0, i[0], i[1], 0] * s[i] ** -beta - 2 * alpha * beta * d[i] * spread
    variable = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(variable)
        y = normalization.contrast(variable, size=size, alpha=alpha, beta=beta)
        loss = tf.reduce_sum(y * g.astype(np.float32))
    ours = tape.gradient(loss, variable).numpy()[0, :, :, 0]
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("implementation", "size", "blocked", "operation"),
    [
        ("tf", 5, False, "LRN"),
        ("tf_fast_gradient", 5, False, "LRN"),
        ("banded", 5, False, "MatMul"),
        ("shifted", 5, False, "AddN"),
        # TensorFlow's has no even windows; none but the product has blocks.
        ("tf", 4, False, "MatMul"),
        ("tf_fast_gradient", 4, False, "MatMul"),
        ("shifted", 4, False, "AddN"),
        ("tf", 5, True, "MatMul"),
        ("tf_fast_gradient", 5, True, "MatMul"),
        ("shifted", 5, True, "MatMul"),
    ],
)
def test_implementations_are_what_they_are_called(implementation, size, blocked, operation):
    """They compute the same, at other speeds: what runs is the difference."""

    @tf.function
    def value(x):
        return normalization.across_maps(
            x, size=size, alpha=1e-4, beta=0.75, k=2, blocked=blocked, implementation=implementation
        )

    graph = value.get_concrete_function(tf.TensorSpec([2, 3, 3, 12])).graph
    kinds = {operation.type for operation in graph.get_operations()}
    assert kinds & {"LRN", "MatMul", "AddN"} == {operation}


@pytest.mark.parametrize(
    ("implementation", "blocked"), [("banded", False), ("shifted", False), ("banded", True)]
)
def test_gradient_of_windows_that_are_not_symmetric(implementation, blocked):
    """Of 4 channels: two below to one above, or blocks; against the formula left to TensorFlow."""
    rng = np.random.default_rng(3)
    x = tf.constant(rng.normal(0, 60, (1, 2, 2, 10)).astype(np.float32))
    upstream = rng.normal(size=x.shape).astype(np.float32)
    window = np.zeros((10, 10), np.float32)
    for c in range(10):
        first = c // 4 * 4 if blocked else c - 2
        window[max(first, 0) : first + 4, c] = 1

    def formula(x):
        return x * (2 + 1e-4 * tf.matmul(tf.square(x), window)) ** -0.75

    def ours(x):
        return normalization.across_maps(
            x, size=4, alpha=1e-4, beta=0.75, k=2, blocked=blocked, implementation=implementation
        )

    found = []
    for function in (formula, ours):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(function(x) * upstream)
        found.append(tape.gradient(loss, x).numpy())
    np.testing.assert_allclose(found[1], found[0], rtol=1e-4, atol=2e-6)


def test_float64_is_summed_in_float64():
    x = np.random.default_rng(4).normal(0, 60, (1, 2, 2, 12))
    for implementation in ("banded", "shifted"):
        ours = normalization.across_maps(
            tf.constant(x), implementation=implementation, **VARIANTS["paper"]
        )
        expected = loop_across_maps(x, **VARIANTS["paper"])
        np.testing.assert_allclose(
            ours, expected, rtol=1e-12 if implementation == "shifted" else 1e-6
        )
