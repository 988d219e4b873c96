"""Benchmarks run on small sizes and report what they say; no wall time is asserted."""

from __future__ import annotations

import json
import types

import numpy as np
import pytest

from alexnet_tf import benchmark
from alexnet_tf.benchmarks import _measure
from alexnet_tf.benchmarks import all as all_benchmarks
from tests.helpers import small_dataset

SMALL_NET = [
    "--config.network.input_size=67",
    "--config.network.filters=(4,8,8,8,8)",
    "--config.network.hidden=(16,16)",
]


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return small_dataset.make(
        tmp_path_factory.mktemp("benchmarks") / "data", image_size=72, classes=4, train=50
    )


def call(capsys, *arguments) -> tuple[int, dict, str]:
    status = benchmark.call([str(part) for part in arguments])
    captured = capsys.readouterr()
    return status, json.loads(captured.out) if captured.out else {}, captured.err


@pytest.mark.parametrize("source", ["memory", "dataset"])
def test_step(source, data_dir, capsys):
    extra = [f"--config.data_dir={data_dir}"] if source == "dataset" else []
    status, report, _ = call(
        capsys, "step", "--batch_size=4", "--steps=4", "--block_steps=2", *SMALL_NET, *extra
    )
    assert status == 0
    assert report["input_of_ours"] == source
    for contestant in ("ours", "plain_keras"):
        rates = report[contestant]["images_per_second_of_blocks"]
        assert len(rates) == 2 and min(rates) > 0
    ratios = report["ratio"]
    assert ratios["least"] <= ratios["median"] <= ratios["largest"]


def test_the_plain_model_is_the_papers_network():
    from alexnet_tf.benchmarks import _plain_keras
    from alexnet_tf.tables import table

    model = _plain_keras.model(table.options("alexnet"), 227, 1000)
    assert model.count_params() == 60_965_224
    sides = [layer.output.shape[1] for layer in model.layers if layer.name.startswith("conv2d")]
    assert sides == [55, 27, 13, 13, 13]


def test_the_plain_model_learns_by_its_step():
    import tensorflow as tf

    from alexnet_tf.benchmarks import _plain_keras

    options = {"filters": (4, 8, 8, 8, 8), "hidden": (16, 16)}
    model = _plain_keras.model(options, 67, 3)
    before = model.get_weights()
    step = _plain_keras.train_step(model)
    loss = step(tf.random.normal([4, 67, 67, 3], seed=1), tf.constant([0, 1, 2, 0]))
    # Tiny initial weights say the same of every class.
    decay = 0.00025 * sum(float((weight**2).sum()) for weight in before if weight.ndim > 1)
    assert float(loss) == pytest.approx(np.log(3) + decay, rel=1e-3)
    for old, new in zip(before, model.get_weights(), strict=True):
        if old.ndim > 1:
            assert not np.array_equal(old, new)


def test_loop(data_dir, capsys):
    status, report, err = call(
        capsys,
        "loop",
        f"--config.data_dir={data_dir}",
        "--config.batch_size=8",
        "--steps=9",
        *SMALL_NET,
    )
    assert status == 0, err
    assert report["loop"]["images_per_second"] > 0
    assert 0 <= report["data_wait"] <= 1
    bare = report["bare_step"]["images_per_second_of_blocks"]
    mean_seconds = np.mean([8 / rate for rate in bare])
    in_loop = 8 / report["loop"]["images_per_second"]
    assert report["overhead"] == pytest.approx(in_loop / mean_seconds - 1, abs=0.01)


def test_input(data_dir, capsys):
    status, report, _ = call(
        capsys,
        "input",
        f"--config.data_dir={data_dir}",
        "--config.batch_size=8",
        "--images=60",
        "--rounds=1",
        *SMALL_NET,
    )
    assert status == 0
    assert report["images"] == 48  # Whole batches of one epoch of 50, which is nearest to 60.
    assert list(report["stages"]) == [
        "read",
        "bare_decode",
        "decode",
        "input",
        "device_pass",
    ]
    stages = report["stages"]
    bare = stages["bare_decode"]["cpu_microseconds_per_image"]
    for name in ("decode", "input", "device_pass"):
        of_bare = bare / stages[name]["cpu_microseconds_per_image"]
        # One round: the median of its ratios is its ratio.
        assert stages[name]["of_bare_decode"] == pytest.approx(of_bare, abs=0.01, rel=0.01)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no benchmark named"),
        (["stepp"], "did you mean step"),
        (["step", "--config=demo"], "the plain Keras model is AlexNet"),
        (["step", "more"], "unexpected argument 'more'"),
        (["loop"], "--config.data_dir is missing"),
        (["input", "--batches=3"], "batches"),
    ],
)
def test_wrong_usage_is_one_line(arguments, message, capsys):
    status, report, err = call(capsys, *arguments)
    assert (status, report) == (2, {})
    assert err.startswith("error: ") and err.count("\n") == 1
    assert message in err


def test_help_lists_the_benchmarks(capsys):
    assert benchmark.call(["--help"]) == 0
    out = capsys.readouterr().out
    for name in benchmark.names():
        assert f"\n  {name} " in out
    assert benchmark.call(["step", "--help"]) == 0
    assert "--block_steps" in capsys.readouterr().out


def test_blocks_alternate_and_rates_follow_from_their_times(monkeypatch):
    now = [0.0]
    calls = []

    def contestant(name: str, seconds: float):
        def run(steps: int) -> None:
            calls.append((name, steps))
            now[0] += seconds * steps

        return run

    monkeypatch.setattr(_measure, "time", types.SimpleNamespace(monotonic=lambda: now[0]))
    seconds = _measure.alternate(
        {"a": contestant("a", 0.5), "b": contestant("b", 2.0)}, steps=5, block_steps=2
    )
    assert calls == [("a", 2), ("b", 2)] + [("a", 2), ("b", 2)] * 3
    assert seconds == {"a": [0.5] * 3, "b": [2.0] * 3}
    assert _measure.speed(seconds["a"], 10)["images_per_second"] == 20
    assert _measure.ratios([0.5, 1.0], [2.0, 3.0]) == {"median": 3.5, "least": 3.0, "largest": 4.0}


def test_start(capsys):
    status, report, err = call(capsys, "start", "--config.batch_size=4", *SMALL_NET)
    assert status == 0, err
    parts = report["seconds"]
    assert list(parts) == ["tensorflow", "import", "set_up", "first_update", "second_update"]
    assert report["help"] > 0
    expected = sum(parts.values()) - parts["second_update"]
    assert report["to_the_first_update"] == pytest.approx(expected, abs=0.01)


def test_export(capsys):
    status, report, err = call(capsys, "export", "--batch_size=4", "--calls=3", *SMALL_NET)
    assert status == 0, err
    for contestant in ("signature", "bare_model"):
        rates = report[contestant]["images_per_second_of_blocks"]
        assert len(rates) == 3 and min(rates) > 0
    assert min(report["seconds"].values()) >= 0
    # 16 hidden units to 1000 classes alone are 17,000 weights of 4 bytes.
    assert report["megabytes"] > 0.06


def test_the_table_of_all_benchmarks_relates_figures_to_limits():
    report = {
        "limits": {"float32_tflops": 0.2, "copy_gb_per_second": 10.0},
        "step": {
            "ours": {"images_per_second": 45.4},
            "ratio": {"median": 3.8},
            "batch_size": 128,
        },
        "pytorch": {
            "rows": [
                {"name": "batch 128 eager float32", "images_per_second": 22.7},
                {"name": "batch 1024 eager float32", "images_per_second": 30.0},
            ]
        },
        "loop": {"loop": {"images_per_second": 44.0}, "overhead": 0.03},
        "start": {"error": "no room"},
        "input": {
            "stages": {
                "bare_decode": {"images_per_second": 4000.0, "cpu_microseconds_per_image": 400.0},
                "input": {
                    "images_per_second": 3900.0,
                    "cpu_microseconds_per_image": 500.0,
                    "of_bare_decode": 0.8,
                },
            }
        },
        "convert": {
            "per_core": {
                "converter_images_per_second": 300.0,
                "opencv_images_per_second": 400.0,
                "ratio": 0.75,
            }
        },
        "export": {
            "signature": {"images_per_second": 150.0},
            "ratio": {"median": 0.96},
            "seconds": {"export": 3.0, "load": 1.5},
            "megabytes": 244.0,
        },
    }
    text = "\n".join(all_benchmarks.table(report))
    # 200 GFLOP/s over 4.135 GFLOP for an image are 48.4 images/s.
    assert "45.4 images/s, 94% of float32 products, 3.80 times plain Keras" in text
    assert "97% of the step" in text
    # 45.4 over 22.7; another batch size has no ratio.
    assert "22.7 images/s; the step above: 2.00 times as many" in text
    assert text.endswith("30.0 images/s")
    assert "start                    failed: no room" in text
    assert (
        "3,900.0 images/s, 500 µs of CPU time an image: 80% of the speed of bare decoding by it"
        in text
    )
    assert "300.0 images/s per core, 75% of a bare OpenCV loop" in text
    assert "150.0 images/s, 96% of the bare model; 3.0 s to export, 1.5 s to load, 244 MB" in text
    assert report["step"]["of_limit"] == pytest.approx(0.939, abs=1e-3)
