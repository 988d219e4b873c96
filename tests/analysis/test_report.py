"""report.html: what it says, of runs at any stage; that it is one file, and harmless."""

from __future__ import annotations

import html.parser
import json
import os
import shutil

import numpy as np
import pytest

from alexnet_common import command
from alexnet_tf import recipes, report, train
from alexnet_tf.analysis import report_sections
from tests.helpers import chromium, finished_run, short_runs, small_dataset
from tests.helpers.evaluated import evaluate

HOSTILE = (
    "<script>document.title = 'hacked'</script>",
    '"><img src=x onerror="document.title=1">',
    "{{ 7 * 7 }} & co",
    "犬 $x$",
)
SETTINGS = short_runs.TINY | {
    "train_epochs": 4,
    "log.every_steps": 2,
    "log.tensorboard": False,
    "log.expected": "an error of <less> than 90%",
    "learning_rate.schedule": "steps",
    "learning_rate.drop_epochs": "(2,)",
}


class Page(html.parser.HTMLParser):
    """Tags with their attributes, and all text outside style, as a browser would see them."""

    def __init__(self, text: str):
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.words: list[str] = []
        self._inside = ""
        self.feed(text)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._inside = tag

    def handle_endtag(self, tag):
        self._inside = ""

    def handle_data(self, data):
        if self._inside != "style":
            self.words.append(data)


def call(capsys, *arguments) -> tuple[int, str, str]:
    status = command.call(
        report.define_flags, report.main, report.__doc__, [str(part) for part in arguments]
    )
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def arguments(data, workdir, **changes) -> list[str]:
    settings = SETTINGS | {key.replace("__", "."): value for key, value in changes.items()}
    argv = ["--config=demo", f"--config.data_dir={data}", f"--workdir={workdir}"]
    return argv + [f"--config.{key}={value}" for key, value in settings.items()]


def train_run(*argv) -> int:
    return command.call(train.define_flags, train.main, train.__doc__, list(*argv))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = small_dataset.make(
        tmp_path_factory.mktemp("report") / "photos",
        image_size=28, classes=4, train=22, validation=10,
    )  # fmt: skip
    document = json.loads((folder / "dataset.json").read_text())
    document["class_names"] = list(HOSTILE)
    (folder / "dataset.json").write_text(json.dumps(document))
    return folder


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("report") / "my run"
    assert train_run(arguments(data, workdir)) == 0
    return workdir


@pytest.fixture(scope="module")
def page(trained):
    return Page((trained / "report.html").read_text())


def epochs_of(workdir) -> list[dict]:
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").open()]
    return [line for line in lines if line["kind"] == "epoch"]


def test_training_ends_with_a_report_that_says_what_was_reached(trained, page):
    epochs = epochs_of(trained)
    best = min(epochs, key=lambda line: line["val_top_1_error"])
    assert "Finished: 4 of 4 epochs, 12 steps." in page.text
    assert (
        f"best epoch of training, epoch {best['epoch']} 1 {best['val_top_1_error']:.2%}"
        in page.text
    )
    assert f"last epoch of training, epoch 4 1 {epochs[-1]['val_top_1_error']:.2%}" in page.text
    assert "The recipe expects: an error of <less> than 90%" in page.text
    errors = evaluate(trained, 10).errors
    assert f"top-1 error, 10 views {errors.top_1_error:.2%}" in page.text
    assert (
        f"evaluated: best checkpoint, epoch {best['epoch']} 10 {errors.top_1_error:.2%} ("
        in page.text
    )
    assert "errors among 4 classes do not compare with ImageNet's 1,000" in page.text
    assert "With 4 classes every answer is among the best 5" in page.text
    assert "The learning rate fell from 0.005 to 0.0005 after step 6 (epoch 2)." in page.text


def test_the_table_of_epochs_is_metrics_jsonl(trained, page):
    lines = epochs_of(trained)
    assert len(lines) == SETTINGS["train_epochs"]
    for line in lines:
        row = f"{line['epoch']} {line['step']} {line['learning_rate']:g} {line['loss']:.4f} "
        row += f"{line['top_1_error']:.2%} {line['val_loss']:.4f} {line['val_top_1_error']:.2%}"
        assert row in page.text


def test_network_recipe_data_and_environment(trained, page):
    # Two columns of 4 filters of 7x7x3 and their biases; 1 + ceil((24 - 7) / 2) = 10 places.
    assert f"conv1a conv 7x7/2, relu data 0 10×10×4 7×7×3×4 {7 * 7 * 3 * 4 + 4}" in page.text
    assert "batch_size 8 128" in page.text and "train_epochs 4 90" in page.text
    assert "22 images, 5 to 6 per class" in page.text
    (entry,) = json.loads((trained / "environment.json").read_text())
    assert entry["step"] == 0 and entry["computes_on"] == "one device: CPU"
    assert entry["packages"]["numpy"] == np.__version__
    assert f"numpy {np.__version__}" in page.text


@pytest.mark.parametrize("synthetic", [False, True])
def test_the_recipes_number_of_classes_is_said_where_it_counts(synthetic):
    """With a dataset the dataset's number counts, which stands under the data."""
    config = recipes.resolve(recipes.load("cifar10_quick"))
    config.update(num_classes=23, synthetic_data=synthetic, seed=77)
    shown = [row[0]["text"] for row in report_sections.recipe(config)["rows"]]
    assert "seed" in shown and ("num_classes" in shown) == synthetic


def test_kernels_classes_and_mistakes(trained, page):
    pictures = [attributes["alt"] for tag, attributes in page.tags if tag == "img"]
    assert [alt for alt in pictures if alt.startswith("column ")] == [
        alt for alt in pictures if "kernels of 7×7×3" in alt
    ]
    assert sum(alt.startswith("column ") for alt in pictures) == 2
    errors = evaluate(trained, 10).errors
    assert sum(alt.startswith("validation/") for alt in pictures) == errors.top_1_errors
    assert {"Confusion matrix", "Top-1 error by class", "Mean image"} <= set(pictures)


def test_it_is_one_file_that_asks_for_nothing_else(page):
    assert not {"script", "link", "iframe", "object", "embed"} & {tag for tag, _ in page.tags}
    for tag, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("src", "href", "srcset", "action"):
            if name in attributes:
                assert attributes[name].startswith(("data:image/", "#")), (tag, attributes[name])
    policy = [a["content"] for tag, a in page.tags if a.get("http-equiv")]
    assert policy == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]


def test_class_names_are_text_whatever_they_hold(page):
    assert all(" ".join(name.split(",")[0].split())[:20] in page.text for name in HOSTILE)


def test_a_finished_run_keeps_its_report_until_it_goes_on(data, trained, tmp_path, capsys):
    workdir = tmp_path / "run"
    shutil.copytree(trained, workdir)
    (workdir / "report.html").write_text("made before")
    assert train_run(arguments(data, workdir)) == 0
    assert (workdir / "report.html").read_text() == "made before"
    assert train_run(arguments(data, workdir, train_epochs=5)) == 0
    assert "5 of 5 epochs" in (workdir / "report.html").read_text()
    assert [entry["step"] for entry in json.loads((workdir / "environment.json").read_text())] == [
        0,
        12,
    ]


def test_it_can_be_switched_off_and_its_failure_fails_no_training(data, tmp_path, capsys):
    off, bad = tmp_path / "off", tmp_path / "bad"
    short = {"train_epochs": 1}
    assert train_run(arguments(data, off, log__report=False, **short)) == 0
    assert not (off / "report.html").exists()
    assert train_run(arguments(data, bad, log__report=False, **short)) == 0
    (bad / "report.html").mkdir()
    os.utime(bad / "report.html", (0, 0))
    capsys.readouterr()
    assert train_run(arguments(data, bad, **short)) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["epoch"] == 1
    assert "WARNING: no report: " in captured.err and "finished and saved" in captured.err


def test_a_run_that_has_only_begun(data, trained, tmp_path, capsys):
    workdir = tmp_path / "begun"
    workdir.mkdir()
    shutil.copy(trained / "config.json", workdir)
    status, out, _ = call(capsys, f"--workdir={workdir}")
    assert (status, out) == (0, f"{workdir}/report.html\n")
    begun = Page((workdir / "report.html").read_text())
    assert "Begun; nothing has been measured yet." in begun.text
    assert "There is no checkpoint yet" in begun.text
    # The first lines of its first epoch, the last one half-written.
    lines = (trained / "metrics.jsonl").read_text().splitlines(keepends=True)
    (workdir / "metrics.jsonl").write_text(lines[0] + lines[1][:30])
    assert call(capsys, f"--workdir={workdir}")[0] == 0
    begun = Page((workdir / "report.html").read_text())
    assert "Not finished: it trains or was stopped after 0 of 4 epochs, 2 steps" in begun.text
    assert "last line written " in begun.text


def test_of_several_workers_the_chief_makes_it_without_an_evaluation(trained, tmp_path, capsys):
    from alexnet_tf.analysis import report as pages

    workdir = tmp_path / "run"
    shutil.copytree(trained, workdir, ignore=shutil.ignore_patterns("report.html"))
    pages.after_training(workdir, evaluate=False)
    text = Page((workdir / "report.html").read_text()).text
    assert "Not evaluated: classes and mistakes are left out." in text and "Kernels of" in text
    assert f"with them: python -m alexnet_tf.report --workdir={workdir}" in capsys.readouterr().err


def test_synthetic_data_has_curves_and_nothing_to_evaluate(tmp_path):
    settings = {"synthetic_data": True, "limit_train_examples": 16, "num_classes": 3}
    argv = arguments("", tmp_path / "run", train_epochs=1, **settings)
    assert train_run([argument for argument in argv if "data_dir" not in argument]) == 0
    text = Page((tmp_path / "run" / "report.html").read_text()).text
    assert "Trained on synthetic data: there is nothing to evaluate." in text
    assert "Synthetic data: random pixels." in text and "Kernels of conv1" in text


def test_a_run_without_best_checkpoint_or_dataset(tmp_path, capsys):
    data = small_dataset.make(tmp_path / "data", image_size=36, classes=6, validation=13)
    workdir = finished_run.make(tmp_path / "run", data, best=False)
    assert call(capsys, f"--workdir={workdir}", "--views=1")[0] == 0
    text = Page((workdir / "report.html").read_text()).text
    assert (
        "Newest checkpoint (epoch 3, step 30) on the 13 images of the validation split, 1 view."
        in text
    )
    shutil.rmtree(data)
    assert call(capsys, f"--workdir={workdir}")[0] == 0
    text = Page((workdir / "report.html").read_text()).text
    assert "Not evaluated: the dataset that" in text and "Kernels of conv1" in text


@pytest.mark.parametrize(
    ("argv", "status", "message"),
    [
        (["--workdir=nowhere"], 1, "does not exist"),
        (["--workdir=EMPTY"], 1, "holds no run"),
        ([], 2, "workdir"),
        (["--workdir=RUN", "--output=EMPTY"], 1, "is a folder"),
    ],
)
def test_errors_are_one_line(argv, status, message, trained, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    places = {"EMPTY": tmp_path / "empty", "RUN": trained}
    for name, place in places.items():
        argv = [argument.replace(name, str(place)) for argument in argv]
    found, out, err = call(capsys, *argv)
    assert (found, out) == (status, "")
    assert err.startswith("error: ") and err.count("\n") == 1 and message in err
    assert not list((tmp_path / "empty").iterdir())


@pytest.mark.slow
def test_a_browser_reads_it(trained, tmp_path):
    with chromium.browser(tmp_path) as browser:
        browser.get((trained / "report.html").as_uri())
        assert browser.title == "my run · recipe demo, seed 0"
        text = browser.find_element("tag name", "body").text
        best = min(epochs_of(trained), key=lambda line: line["val_top_1_error"])
        assert f"{best['val_top_1_error']:.2%}" in text
        assert "Finished: 4 of 4 epochs" in text and "{{ 7 * 7 }} & co" in text
        assert "<script>document.title = 'hacked'</script>" in text
        sizes = browser.execute_script(
            "return [...document.images].map(image => [image.alt, image.naturalWidth])"
        )
        assert len(sizes) > 8 and all(width > 0 for _, width in sizes), sizes
        loaded = browser.execute_script(
            "return performance.getEntriesByType('resource').map(entry => entry.name)"
        )
        assert [name for name in loaded if not name.startswith("data:")] == []
        # On a telephone nothing stands out at the side.
        browser.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": 390, "height": 800, "deviceScaleFactor": 2, "mobile": True},
        )
        widths = browser.execute_script(
            "return [document.documentElement.scrollWidth, window.innerWidth]"
        )
        assert widths[0] <= 390 and widths[1] == 390, widths
        paper = browser.execute_cdp_cmd(
            "Page.printToPDF", {"paperWidth": 8.27, "paperHeight": 11.7}
        )
        assert len(paper["data"]) > 10_000
