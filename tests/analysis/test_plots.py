"""The common style: the same bytes every time, text that can be read, no pyplot."""

from __future__ import annotations

import io
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import matplotlib
from PIL import Image

from alexnet_tf.analysis import plots


def draw():
    with plots.style():
        figure = plots.figure(4, 2)
        axes = figure.subplots()
        axes.plot([1, 10, 1000], [0.05, 0.5, 0.25], label="costs $5 & <b>")
        plots.log_scale(axes, "x")
        plots.percent_axis(axes.yaxis)
        axes.legend()
    return figure


def texts(svg: bytes) -> list[str]:
    """All text of an SVG file, as an XML parser sees it."""
    elements = ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")
    return ["".join(element.itertext()) for element in elements]


def test_png_has_the_size_that_was_asked_for():
    image = Image.open(io.BytesIO(plots.png(draw(), dpi=100)))
    assert (image.format, image.size) == ("PNG", (400, 200))


def test_svg_keeps_text_as_it_was_written():
    found = texts(plots.svg(draw()))
    assert "costs $5 & <b>" in found
    assert {"1", "10", "100", "1000"} <= set(found)
    assert {"10%", "20%", "50%"} <= set(found)


def test_the_same_figure_gives_the_same_bytes():
    assert plots.png(draw()) == plots.png(draw())
    assert plots.svg(draw()) == plots.svg(draw())


def test_the_users_own_style_changes_nothing_and_stays():
    expected = plots.svg(draw())
    with matplotlib.rc_context({"axes.facecolor": "black", "font.size": 30}):
        assert plots.svg(draw()) == expected
        assert matplotlib.rcParams["font.size"] == 30


def test_pyplot_is_not_imported():
    code = "import sys, alexnet_tf.analysis.plots; print('matplotlib.pyplot' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "False\n"
