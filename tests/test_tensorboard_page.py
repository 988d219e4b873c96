"""TensorBoard on a run's folder, opened in a real browser: what the page shows.

Needs Debian's chromium and chromium-driver (or Chrome with its driver) and selenium.
"""

import base64
import io
import json
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import numpy as np
import pytest
from PIL import Image

from alexnet_common import command
from alexnet_tf import train
from alexnet_tf.pictures import kernels
from alexnet_tf.runs import checkpoint
from tests.helpers import chromium, short_runs, small_dataset

pytestmark = pytest.mark.slow

SETTINGS = short_runs.TINY | {"train_epochs": 4, "log.every_steps": 3}
PATIENCE_SECONDS = 60
# All pictures of the page, also those inside shadow roots, as PNG.
PICTURES = """
function find(root, found) {
  for (const element of root.querySelectorAll("*")) {
    if (element.tagName == "IMG" && element.naturalWidth > 0) found.push(element);
    if (element.shadowRoot) find(element.shadowRoot, found);
  }
  return found;
}
return find(document, []).map(image => {
  const canvas = document.createElement("canvas");
  canvas.width = image.naturalWidth;
  canvas.height = image.naturalHeight;
  canvas.getContext("2d").drawImage(image, 0, 0);
  return canvas.toDataURL("image/png").split(",")[1];
});
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with chromium.browser(tmp_path_factory.mktemp("chromium")) as opened:
        yield opened


@pytest.fixture(scope="module")
def run(browser, tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    data = small_dataset.make(folder / "data", image_size=28, train=22, validation=10)
    argv = ["--config=demo", f"--config.data_dir={data}", f"--workdir={folder / 'run'}"]
    argv += [f"--config.{key}={value}" for key, value in SETTINGS.items()]
    assert command.call(train.define_flags, train.main, train.__doc__, argv) == 0
    return folder / "run"


@pytest.fixture(scope="module")
def address(run):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "tensorboard.main", f"--logdir={run / 'tensorboard'}"]
        + ["--host=127.0.0.1", f"--port={port}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    found = f"http://127.0.0.1:{port}/"

    def answers():
        assert server.poll() is None, "TensorBoard has ended"
        try:
            return urllib.request.urlopen(f"{found}data/plugins_listing").status == 200
        except urllib.error.URLError:
            return False

    try:
        wait_until(answers)
        yield found
    finally:
        server.kill()
        server.wait()


def wait_until(condition):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    return found


def text_of(browser):
    return browser.find_element("tag name", "body").text


def last(run, kind):
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if line["kind"] == kind][-1]


@pytest.mark.parametrize("tag", ["loss", "top_1_error", "learning_rate"])
def test_the_page_shows_the_scalars(browser, address, run, tag, tmp_path):
    """The card's table has the last value of both curves, to the digits that it shows."""
    browser.get("about:blank")
    browser.get(f"{address}#timeseries")
    wait_until(lambda: "Pinned" in text_of(browser))
    wait_until(lambda: tag in text_of(browser).splitlines())
    expected = {"train": last(run, "train")[tag]}
    if f"val_{tag}" in last(run, "epoch"):
        expected["validation"] = last(run, "epoch")[f"val_{tag}"]
    box = browser.find_element("css selector", "input[placeholder^='Filter tags']")
    box.clear()
    box.send_keys(f"^{tag}$")

    def rows():
        """Columns: run, smoothed value, value, step, time since the start."""
        found = re.findall(
            r"^(train|validation)\n([-\d.e]+)\n([-\d.e]+)\n([\d,]+)\n.*$", text_of(browser), re.M
        )
        return {name: (float(value), int(step)) for name, _, value, step in found}

    shown = wait_until(lambda: rows() if rows().keys() == expected.keys() else None)
    browser.save_screenshot(str(tmp_path / "scalars.png"))
    for name, value in expected.items():
        assert shown[name][0] == pytest.approx(value, abs=6e-5, rel=1e-3), name
        assert shown[name][1] == 12


def test_the_page_shows_the_kernels(browser, address, run, tmp_path):
    """The picture that the browser has drawn, pixel by pixel, is that of the last weights."""
    browser.get("about:blank")
    browser.get(f"{address}#images")
    wait_until(lambda: "kernels/conv1" in text_of(browser))
    wait_until(lambda: "step 12" in text_of(browser))
    (picture,) = wait_until(lambda: browser.execute_script(PICTURES))
    browser.save_screenshot(str(tmp_path / "kernels.png"))
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(picture))).convert("RGB"))
    weights = checkpoint.load_newest(run / "checkpoints").weights
    expected = kernels.draw([weights[f"conv1{column}/kernel"] for column in "ab"])
    assert np.array_equal(shown, expected)
