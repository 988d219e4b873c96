"""Layers of 2012 that draw in every pass: repeatable, and the same on any number of replicas."""

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from alexnet_tf.model import (
    build,
    layers,
)
from alexnet_tf.model.ops import images
from alexnet_tf.tables import (
    rows,
    table,
)

ROWS = {
    "pool": rows.Pool(name="r", inputs=("data",), kind="rand", size=3, stride=2),
    "nrelu": rows.Neuron(name="r", inputs=("data",), neuron="nrelu"),
    "rscale": rows.RandomScale(name="r", inputs=("data",), maximum_scale=1.5, size=8),
}


def model_of(kind):
    return build.build(table.Table("t", (ROWS[kind],), 11, 3))


def pixels(batch=8):
    return np.random.default_rng(0).uniform(1, 2, (batch, 11, 11, 3)).astype(np.float32)


def draw(model, x, *parts, seed=(3, 4), training=True):
    """What the model yields of the rows `parts` of `x`, each part on a replica of its own."""
    found = []
    for part in parts:
        with layers.randomness(tf.constant(seed), tf.constant(part), len(x)):
            found.append(model(x[part], training=training).numpy())
    return np.concatenate(found)


@pytest.mark.parametrize("kind", ROWS)
def test_draws_come_from_step_and_row_only(kind):
    model, x = model_of(kind), pixels()
    whole = draw(model, x, list(range(8)))
    np.testing.assert_array_equal(whole, draw(model_of(kind), x, list(range(8))))
    np.testing.assert_array_equal(whole, draw(model, x, [0, 1, 2], [3, 4, 5, 6, 7]))
    np.testing.assert_array_equal(whole[[5, 1]], draw(model, x, [5, 1]))
    others = [draw(model, x, list(range(8)), seed=(3, step)) for step in range(5, 9)]
    # Of the few scales and crops of so small an image one may come twice.
    assert any(np.any(whole != other) for other in others)


@pytest.mark.parametrize("kind", ROWS)
def test_compiled_draws_are_repeatable(kind):
    model, x = model_of(kind), tf.constant(pixels())

    @tf.function(jit_compile=True)
    def step(seed):
        with layers.randomness(seed, tf.range(8), 8):
            return model(x, training=True)

    first = step(tf.constant([3, 4])).numpy()
    np.testing.assert_array_equal(first, step(tf.constant([3, 4])))
    assert any(np.any(first != step(tf.constant([3, other])).numpy()) for other in range(5, 9))


@pytest.mark.parametrize("kind", ["pool", "nrelu"])
def test_images_of_a_batch_draw_apart_in_training_and_alike_in_tests(kind):
    model = model_of(kind)
    x = np.repeat(pixels(1), 4, axis=0)
    y = draw(model, x, [0, 1, 2, 3])
    assert np.any(y[0] != y[1])
    tested = model(x, training=False).numpy()
    # Noise there is, but a result depends on nothing but the image.
    np.testing.assert_array_equal(tested, np.repeat(model(x[2:3], training=False), 4, axis=0))
    assert len(np.unique(tested[0] / (x[0] if kind == "nrelu" else 1))) > 10


def test_noisy_neuron_has_the_deviation_of_its_value():
    x = np.full((5000, 4), [0.5, 1, 2, 8], np.float32)
    layer = layers.FunctionLayer(ROWS["nrelu"], [(4,)], layers.Options())
    with layers.randomness([1, 2], tf.range(5000), 5000):
        y = layer(x).numpy() / x[0]
    # max(0, 1 + N(0, 1)): mean Phi(1) + phi(1), from the normal distribution.
    np.testing.assert_allclose(y.mean(axis=0), 1.0833, atol=0.05)
    np.testing.assert_allclose((y == 0).mean(axis=0), 0.1587, atol=0.02)


def test_random_scales_have_the_chances_of_2012_and_keep_lines_straight():
    # A ramp tells the scale by its slope and the place of the crop by its first value.
    ramp = np.broadcast_to(np.arange(12, dtype=np.float32)[None, None, :, None], (1, 12, 12, 3))
    row = rows.RandomScale(name="r", inputs=("data",), maximum_scale=1.5, size=8)

    @tf.function
    def crop(step):
        with layers.randomness(tf.stack([1, step]), tf.range(1), 1):
            return images.transform(tf.constant(ramp), row, True)[0, 3, :, 0]

    found, offsets = [], []
    for step in tf.range(1500):
        y = crop(step).numpy()
        slope = (y[6] - y[1]) / 5
        target = round(12 / slope)
        # Pixel centres: t of the small image stands at (t + 1/2) 12 / target - 1/2 of the large.
        offset = ((y[1] + 0.5) * target / 12 - 0.5) - 1
        assert offset == pytest.approx(round(offset), abs=1e-3)
        found.append(target)
        offsets.append((target, round(offset)))
    chances = np.arange(1, 6) ** 2 / 55
    counts = [found.count(side) / 1500 for side in range(8, 13)]
    np.testing.assert_allclose(counts, chances, atol=0.04)
    # Full size: five crops, equally often.
    full = [offset for target, offset in offsets if target == 12]
    np.testing.assert_allclose(np.bincount(full) / len(full), np.full(5, 0.2), atol=0.05)
