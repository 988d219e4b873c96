"""The model of many GPUs against sums by hand."""

import json

import pytest

from alexnet_tf import benchmark
from alexnet_tf.benchmarks import scaling
from alexnet_tf.benchmarks.scaling import Link
from alexnet_tf.tables import summary, table

FAST, SLOW = Link(100.0, 0.0), Link(10.0, 0.5)


def test_counts_are_the_networks():
    paper = table.from_config({"name": "alexnet"}, 1000)
    assert summary.parameter_count(paper) == scaling.PARAMETERS
    # 11x11x3, 5x5x48, 3x3x256, 3x3x192 twice; a bias per filter (section 3.5).
    kernels = 363 * 96 + 1200 * 256 + 2304 * 384 + 1728 * 384 + 1728 * 256
    assert kernels + 96 + 256 + 384 + 384 + 256 == scaling.CONVOLUTIONAL
    connected = 9216 * 4096 + 4096 * 4096 + 4096 * 1000 + 4096 + 4096 + 1000
    assert scaling.CONVOLUTIONAL + connected == scaling.PARAMETERS


def test_the_fit_goes_through_what_was_measured():
    assert 128 / scaling.compute(128) == pytest.approx(37_357)
    assert 1024 / scaling.compute(1024) == pytest.approx(52_285)


def test_sums_by_hand():
    # Four ranks: each sends 2 * 3/4 of 1000 bytes at half of 10 bytes/s, in six hops.
    assert scaling.ring(4, 1000, SLOW, 0.5) == pytest.approx(300 + 3)
    assert scaling.tree(4, 1000, SLOW, 0.5) == pytest.approx(400 + 2)
    assert scaling.ring(1, 1000, SLOW, 1) == scaling.tree(1, 1000, SLOW, 1) == 0
    # 16 GPUs in two machines: a ring of eight inside, an eighth of the bytes between.
    found = scaling.all_reduce(16, 800, (FAST, SLOW), 1.0)
    assert found == pytest.approx(2 * 7 / 8 * 800 / 100 + 100 / 10 + 1)


def test_no_summing_is_hidden_unless_asked():
    links = (FAST, SLOW)
    alone = scaling.compute(128)
    assert scaling.data_parallel(1, 128, links, 1.0, 0.0) == pytest.approx(alone)
    whole = scaling.all_reduce(8, 4 * scaling.PARAMETERS, links, 1.0)
    assert scaling.data_parallel(8, 128, links, 1.0, 0.0) == pytest.approx(alone + whole)
    hidden = scaling.data_parallel(8, 128, links, 1.0, 0.5)
    assert hidden == pytest.approx(alone + whole - 0.5 * alone)


def test_the_command_prints_every_size(capsys):
    assert benchmark.call(["scaling", "--link=ethernet"]) == 0
    captured = capsys.readouterr()
    rows = json.loads(captured.out)["model"]
    assert [row["gpus"] for row in rows] == list(scaling.GPUS)
    assert rows[0]["efficiency"] == 1
    assert rows[-1]["efficiency"] < rows[3]["efficiency"]
    assert "1024 GPUs" in captured.err


def test_a_global_batch_is_divided_until_a_gpu_has_none(capsys):
    assert benchmark.call(["scaling", "--global_batch=128"]) == 0
    rows = json.loads(capsys.readouterr().out)["model"]
    assert [row["batch_per_gpu"] for row in rows] == [128, 64, 32, 16, 8, 4, 2, 1]
