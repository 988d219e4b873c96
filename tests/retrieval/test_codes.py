"""Codes: bits by hand, what is near in features is near in codes, files."""

import numpy as np
import pytest

pytest.importorskip("tensorflow")

from alexnet_common.errors import UsageError, UserError
from alexnet_tf.retrieval import codes


def clusters(count=600, size=12, groups=4, seed=0):
    """Points around far centres, and their group."""
    random = np.random.default_rng(seed)
    centres = random.normal(0, 10, (groups, size))
    group = np.arange(count) % groups
    points = centres[group] + random.normal(0, 1, (count, size))
    return points.astype(np.float32), group


@pytest.fixture(scope="module")
def trained():
    return codes.train(clusters()[0], 16, epochs=30, seed=1)


def test_bits_are_those_of_the_two_layers_by_hand():
    random = np.random.default_rng(0)
    encoder = codes.Encoder(
        mean=np.float32([1, 2]),
        scale=np.array(0.5, np.float32),
        hidden=random.normal(size=(2, 3)).astype(np.float32),
        hidden_bias=random.normal(size=3).astype(np.float32),
        code=random.normal(size=(3, 8)).astype(np.float32),
        code_bias=random.normal(size=8).astype(np.float32),
        cut=np.linspace(-1, 1, 8).astype(np.float32),
    )
    features = random.normal(size=(5, 2)).astype(np.float32)
    packed = encoder.encode(features)
    assert packed.dtype == np.uint8 and packed.shape == (5, 1)
    for row, byte in zip(features, packed[:, 0], strict=True):
        x = [(row[0] - 1) / 2, (row[1] - 2) / 2]
        h = [max(0.0, x @ encoder.hidden[:, n] + encoder.hidden_bias[n]) for n in range(3)]
        bits = [h @ encoder.code[:, n] + encoder.code_bias[n] > encoder.cut[n] for n in range(8)]
        assert byte == int("".join(str(int(bit)) for bit in bits), 2)


def test_each_bit_divides_the_images_in_halves(trained):
    bits = np.unpackbits(trained.encode(clusters()[0]), axis=1)
    np.testing.assert_allclose(bits.mean(axis=0), 0.5, atol=1 / 600 + 1e-9)


def test_members_of_a_group_have_nearer_codes_than_others(trained):
    # Other points than it learnt from.
    points, group = clusters(seed=0, count=200)
    points = points + np.random.default_rng(5).normal(0, 0.5, points.shape).astype(np.float32)
    packed = trained.encode(points)
    far = np.unpackbits(packed[:, None] ^ packed[None], axis=2).sum(axis=2)
    np.fill_diagonal(far, 99)
    nearest = far.argmin(axis=1)
    assert (group[nearest] == group).mean() > 0.9


def test_the_same_seed_gives_the_same_codes(trained):
    again = codes.train(clusters()[0], 16, epochs=30, seed=1)
    points = clusters()[0]
    np.testing.assert_array_equal(again.encode(points), trained.encode(points))


def test_features_that_are_all_alike_do_no_harm():
    points = np.full((20, 5), 3.0, np.float32)
    encoder = codes.train(points, 8, epochs=1)
    assert np.isfinite(encoder.inputs(points)).all()


def test_a_saved_encoder_is_the_same(trained, tmp_path):
    trained.save(str(tmp_path / "encoder.npz"))
    loaded = codes.load(str(tmp_path / "encoder.npz"))
    points = clusters()[0]
    np.testing.assert_array_equal(loaded.encode(points), trained.encode(points))
    (tmp_path / "encoder.npz").write_bytes(b"PK")
    with pytest.raises(UserError, match="damaged or missing"):
        codes.load(str(tmp_path / "encoder.npz"))


@pytest.mark.parametrize("bits", [0, 7, 12])
def test_bits_must_fill_bytes(bits):
    with pytest.raises(UsageError, match="a multiple of 8 bits"):
        codes.train(np.zeros((3, 2), np.float32), bits)


def test_training_prints_nothing(capfd):
    codes.train(clusters(count=20)[0], 8, epochs=1)
    assert capfd.readouterr().out == ""
