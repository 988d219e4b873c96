"""Kernels as a picture: places, scales, colour scores, by hand."""

import numpy as np
import pytest

from alexnet_common.errors import UsageError
from alexnet_tf.pictures import kernels


def test_one_scale_for_all_and_columns_below_one_another():
    first, second = np.zeros((11, 11, 3, 17)), np.full((5, 5, 3, 2), -1.0)
    first[..., 16] = 3.0
    second[0, 0, 1, 1] = 1.0
    picture = kernels.draw([first, second], "all")
    # 11 pixels enlarged 4 times, 5 pixels 8 times; borders of 2 pixels; 12 between columns.
    assert picture.shape == (2 * 46 + 2 + 12 + 42 + 2, 16 * 46 + 2, 3)
    assert picture.dtype == np.uint8

    def shade(value):
        return round((value + 1) / 4 * 255)

    assert (picture[2:46, 2:46] == shade(0)).all()
    # The 17th kernel begins the second row.
    assert (picture[48:92, 2:46] == shade(3)).all() and shade(3) == 255
    assert (picture[48:92, 48:92] == 255).all()
    top = 94 + 12 + 2
    assert (picture[top : top + 40, 2:42] == 0).all()
    corner = picture[top : top + 8, 44:52]
    assert (corner == [0, shade(1), 0]).all()
    assert (picture[top + 8 : top + 40, 44:84] == 0).all()
    assert (picture[:2] == 255).all() and (picture[94:106] == 255).all()


def test_equal_weights_make_a_picture_too():
    assert kernels.draw([np.ones((3, 3, 3, 1))]).shape[2] == 3


def test_first_kernels_are_found_by_column():
    variables = {
        "conv1b/kernel": np.zeros((3, 3, 3, 4)),
        "conv1a/kernel": np.ones((3, 3, 3, 4)),
        "conv1a/bias": np.zeros(4),
        "conv2a/kernel": np.zeros((3, 3, 4, 4)),
        "fc/kernel": np.zeros((4, 3)),
    }
    name, found = kernels.first_kernels(variables)
    assert name == "conv1"
    assert [kernel.mean() for kernel in found] == [1, 0]
    assert kernels.first_kernels({"fc/kernel": np.zeros((4, 3))}) == ("", [])


def test_each_kernel_on_its_own_scale_shows_weak_ones_as_well():
    weights = np.zeros((1, 2, 3, 2))
    weights[0, 0, :, 0] = [-10.0, 5.0, 0.0]
    weights[0, 0, :, 1] = [-0.01, 0.005, 0.0]
    (own,) = kernels.shades([weights], "kernel")
    # 127.5 + 127.5 * w / 10, halves up.
    assert own[0, 0, :, 0].tolist() == own[0, 0, :, 1].tolist() == [0, 191, 128]
    assert (own[0, 1] == 128).all()
    (column,) = kernels.shades([weights], "column")
    assert column[0, 0, :, 0].tolist() == [0, 191, 128]
    assert column[0, 0, :, 1].tolist() == [127, 128, 128]


def test_columns_of_different_strength():
    strong, weak = np.zeros((3, 3, 3, 1)), np.zeros((3, 3, 3, 1))
    strong[0, 0, 0, 0], weak[0, 0, 0, 0] = 1.0, 1e-3
    for scale in ("kernel", "column"):
        assert [shade.max() for shade in kernels.shades([strong, weak], scale)] == [255, 255]
    assert kernels.shades([strong, weak], "all")[1].max() == 0
    with pytest.raises(UsageError, match="scale must be kernel, column or all, not 'each'"):
        kernels.shades([strong], "each")


def test_a_kernel_of_zeros_is_grey():
    assert (kernels.shades([np.zeros((3, 3, 3, 2))])[0] == 128).all()


def test_color_scores_of_kernels_with_scores_known_beforehand():
    weights = np.zeros((1, 2, 3, 5))
    weights[..., 0] = [[[1, 1, 1], [-2, -2, -2]]]  # Grey throughout.
    weights[..., 1] = [[[1, -1, 0], [0, 2, -2]]]  # Nothing to grey pixels.
    weights[..., 2] = [[[3, 0, 0], [0, 0, 0]]]  # Red alone: grey (1, 1, 1), rest (2, -1, -1).
    weights[..., 3] = [[[1, 1, 1], [1, -1, 0]]]  # Energies 3 grey, 2 chroma.
    scores = kernels.color_scores(weights)
    np.testing.assert_allclose(scores, [0, 1, 6 / 9, 2 / 5, 0], atol=1e-12)


def test_independent_weights_have_the_score_of_chance():
    weights = np.random.default_rng(0).normal(size=(11, 11, 3, 400))
    scores = kernels.color_scores(weights)
    assert scores.mean() == pytest.approx(kernels.CHANCE_COLOR_SCORE, abs=0.01)
