"""The paper's figures: what is in them, read from their SVG's text and matplotlib's objects."""

from __future__ import annotations

import warnings
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

pytest.importorskip("tensorflow")

from alexnet_common.errors import UsageError
from alexnet_tf import recipes
from alexnet_tf.analysis import activations, kernels, neighbors, network_diagram, plots, top5
from alexnet_tf.inference.images import Batch
from alexnet_tf.tables import table


def texts(figure) -> list[str]:
    elements = ElementTree.fromstring(plots.svg(figure)).iter("{http://www.w3.org/2000/svg}text")
    return ["".join(element.itertext()) for element in elements]


def net(name, classes=1000):
    return table.from_config(recipes.load(name).network, classes)


def test_kernels_have_a_title_with_the_score_of_each_column():
    grey, colored = np.ones((3, 3, 3, 4)), np.ones((3, 3, 3, 4))
    colored[:, :, 2] = -2
    assert kernels.scores([grey, colored]) == pytest.approx([0, 1])
    found = texts(kernels.draw("conv1", [grey, colored]))
    assert "column a, 4 kernels of 3×3×3, colour score 0.00 (0 grey, 0.67 chance)" in found
    assert "column b, 4 kernels of 3×3×3, colour score 1.00 (0 grey, 0.67 chance)" in found
    assert texts(kernels.draw("conv1", [grey]))[0].startswith("4 kernels of")


def test_top5_bars_are_the_best_five_and_the_right_class_has_its_color():
    probabilities = np.float32([[0.05, 0.4, 0.1, 0.3, 0.15, 0.0]])
    figure = top5.draw(
        np.zeros((1, 4, 4, 3), np.uint8), probabilities, [f"class {n}" for n in range(6)], [3]
    )
    bars = figure.axes[1].patches
    assert [bar.get_width() for bar in bars] == pytest.approx([0.4, 0.3, 0.15, 0.1, 0.05])
    assert [bar.get_facecolor() == bars[1].get_facecolor() for bar in bars] == [
        False, True, False, False, False,
    ]  # fmt: skip
    found = texts(figure)
    assert found.index("class 1") < found.index("class 4")
    assert "class 5" not in found and found.count("class 3") == 2 and "40%" in found


def test_top5_of_images_without_a_label_and_of_few_classes():
    figure = top5.draw(
        np.zeros((2, 4, 4, 3)), np.float32([[1, 0], [0.5, 0.5]]), ["a", "b"], [None, 1]
    )
    assert texts(figure) == ["a", "100%", "b", "0%", "b", "a", "50%", "b", "50%"]


def test_long_titles_are_cut():
    assert top5.shorten("tabby, tabby cat") == "tabby"
    assert top5.shorten("x" * 40, 10) == "x" * 9 + "…"


@pytest.mark.parametrize("letter", ["i", "W", "\u72ac", "$x "])
def test_top5_names_end_before_their_percentages(letter):
    count = 5
    figure = top5.draw(
        np.zeros((count, 8, 8, 3), np.uint8), np.full((count, 5), 0.2, np.float32),
        [letter * 40] * 5, [0] * count,
    )  # fmt: skip
    with plots.style(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # The font may lack the letter.
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        for place in range(count):
            picture, bars = figure.axes[2 * place : 2 * place + 2]
            (title,) = (text.get_window_extent() for text in picture.texts)
            assert title.y0 >= bars.get_window_extent().y1
            assert title.width <= picture.get_window_extent().width + 2
            names, shares = bars.texts[::2], bars.texts[1::2]
            assert len(names) == len(shares) == 5
            for name, share in zip(names, shares, strict=True):
                assert name.get_window_extent().x1 < share.get_window_extent().x0
                assert len(name.get_text()) > 5


@pytest.mark.parametrize("sizes", [(20,), (7, 7, 6), (1,) * 20])
def test_neighbors_are_the_nearest_whatever_the_batches(sizes):
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (20, 4, 4, 3), np.uint8)
    images[13] = images[4]  # A tie: the earlier one comes first.
    vectors = images.reshape(20, -1).astype(np.float64)
    queries = random.normal(128, 60, (3, 48))
    distances = np.linalg.norm(queries[:, None] - vectors[None], axis=2)
    expected = np.argsort(distances, axis=1, kind="stable")[:, :5]
    starts = np.cumsum([0, *sizes])
    batches = [
        Batch([f"{n}.png" for n in range(a, b)], images[a:b], np.arange(a, b))
        for a, b in zip(starts, starts[1:], strict=False)
    ]
    found = neighbors.find(queries, batches, lambda x: x.reshape(len(x), -1), 5)
    np.testing.assert_array_equal(found.labels, expected)
    np.testing.assert_array_equal(found.images, images[expected])
    assert found.names == [[f"{n}.png" for n in row] for row in expected]
    np.testing.assert_allclose(
        found.distances, np.take_along_axis(distances, expected, 1), rtol=1e-9
    )


def test_frames_of_neighbors_say_same_class_or_another():
    found = neighbors.Neighbors(
        np.zeros((1, 3, 4, 4, 3)), np.array([[0, 1, 0]]), [["a", "b", "c"]], np.zeros((1, 3))
    )
    figure = neighbors.draw(np.zeros((1, 4, 4, 3)), [0], found, ["cat", "dog"], "pixels")
    frames = [axis.spines["top"].get_edgecolor() for axis in figure.axes[2:]]
    assert frames[0] == frames[2] != frames[1]
    assert not figure.axes[0].spines["top"].get_visible()
    assert [text for text in texts(figure) if text in ("cat", "dog")] == [
        "cat",
        "cat",
        "dog",
        "cat",
    ]


def test_activations_take_a_column_each_and_the_strongest_maps():
    chosen = activations.choose(net("alexnet_paper"), "conv5")
    assert [each.name for each in chosen] == ["conv5a", "conv5b"]
    maps = np.zeros((2, 3, 4))
    maps[0, 0] = [1, 4, 0, 4]
    assert activations.strongest(maps, 3).tolist() == [1, 3, 0]
    figure = activations.draw(np.zeros((8, 8, 3)), "x", ["xa", "xb"], [maps, -maps], 3)
    assert "xa: 3 of 4 maps of 2×3, up to 4" in texts(figure)
    drawn = figure.axes[1].images[0].get_array()
    # Three maps of 3 pixels side by side with a gap of 1; the first begins with its largest value.
    assert drawn.shape == (2, 11) and drawn[0, 0] == drawn[0, 4] == 1 and drawn.mask[0, 3]


def test_vectors_have_no_maps():
    with pytest.raises(UsageError, match="fc7 has no maps but a vector; maps have conv1, lrn1"):
        activations.choose(net("alexnet_paper"), "fc7")


def test_the_network_is_drawn_with_its_counts_and_where_columns_meet():
    found = net("alexnet_paper")
    boxes = {box.name: box for box in network_diagram.place(found)}
    assert (boxes["conv3a"].lane, boxes["conv3b"].lane) == (0, 1)
    assert boxes["fc8"].lane == boxes["data"].lane == 0.5
    assert boxes["conv1a"].level == boxes["conv1b"].level == 1
    # Section 3.2 and figure 2: conv3 and the fully connected layers read both columns.
    meeting = network_diagram.meetings(found)
    assert {reader.rstrip("ab") for _, reader in meeting} == {"conv3", "fc6", "fc7", "fc8"}
    assert ("pool2b", "conv3a") in meeting and ("pool2a", "conv3a") not in meeting
    words = texts(network_diagram.draw(found))
    assert "alexnet: 60,965,224 parameters, 659,272 neurons, 2 columns" in words
    assert words.count("55×55×48") == 4 and "4,097,000 parameters" in words


def test_a_network_of_one_column_has_no_meeting():
    found = net("alexnet_owt")
    assert network_diagram.meetings(found) == []
    assert len({box.lane for box in network_diagram.place(found)}) == 1
    assert "orange: where the columns meet" not in texts(network_diagram.draw(found))
