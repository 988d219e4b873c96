"""Limits for scripts, and outputs that cannot be written."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest

from alexnet_common import command
from alexnet_tf import evaluate
from alexnet_tf.evaluation import ensemble
from tests.helpers import finished_run, small_dataset


def report(top_1: int, top_5: int, *, of_ensemble: bool = False) -> dict:
    """A report of 200 images whose centre view is always wrong."""

    def errors(top_1: int, top_5: int) -> dict:
        return {
            "top_1_error": top_1 / 200,
            "top_5_error": top_5 / 200,
            "top_1_errors": top_1,
            "top_5_errors": top_5,
            "count": 200,
        }

    judged = {"errors": {"1": errors(200, 200), "10": errors(top_1, top_5)}}
    worst = {"errors": {"1": errors(200, 200), "10": errors(200, 200)}}
    return {"runs": [worst if of_ensemble else judged], "ensemble": judged if of_ensemble else None}


@pytest.mark.parametrize("of_ensemble", [False, True])
@pytest.mark.parametrize(
    ("limits", "lines"),
    [
        ({1: None, 5: None}, []),
        ({1: 0.43, 5: 0.2}, []),
        # The limit itself is allowed.
        ({1: 0.42, 5: 0.19}, []),
        (
            {1: 0.415, 5: None},
            [
                "top-1 error 42.00% (84 of 200 images, 10 views) is above the limit of 41.5%",
            ],
        ),
        (
            {1: 0.0, 5: 0.1},
            [
                "top-1 error 42.00% (84 of 200 images, 10 views) is above the limit of 0%",
                "top-5 error 19.00% (38 of 200 images, 10 views) is above the limit of 10%",
            ],
        ),
    ],
)
def test_what_is_above_its_limit(limits, lines, of_ensemble):
    assert ensemble.above_limits(report(84, 38, of_ensemble=of_ensemble), limits) == lines


def call(capsys, *arguments) -> tuple[int, str, str]:
    status = command.call(
        evaluate.define_flags, evaluate.main, evaluate.__doc__, [str(part) for part in arguments]
    )
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_a_limit_has_an_exit_status_of_its_own_and_loses_no_result(workdir, capsys):
    status, out, _ = call(capsys, f"--workdir={workdir}", "--views=1")
    assert status == 0 and json.loads(out)["above_limits"] == []
    errors = json.loads(out)["runs"][0]["errors"]["1"]
    assert 0 < errors["top_5_errors"] < errors["top_1_errors"]
    limits = [f"--max_top_1_error={errors['top_1_error']}"]
    assert call(capsys, f"--workdir={workdir}", "--views=1", *limits)[0] == 0
    limits.append(f"--max_top_5_error={errors['top_5_error'] - 0.001}")
    status, out, err = call(capsys, f"--workdir={workdir}", "--views=1", *limits)
    assert status == 3
    assert json.loads(out)["runs"][0]["errors"]["1"] == errors
    (line,) = json.loads(out)["above_limits"]
    assert line.startswith("top-5 error ") and f"FAILED: {line}\n" in err


@pytest.mark.parametrize("value", ["1.5", "-0.1", "much"])
def test_a_limit_is_a_share(value, workdir, capsys):
    status, _, err = call(capsys, f"--workdir={workdir}", f"--max_top_1_error={value}")
    assert status == 2 and err.count("\n") == 1 and "max_top_1_error" in err


def test_an_output_that_cannot_be_written_is_found_before_anything_else(tmp_path, capsys):
    (tmp_path / "file").write_text("mine")
    for output, reason in ((tmp_path, "is a folder"), (tmp_path / "file" / "x", "cannot be")):
        status, out, err = call(capsys, "--workdir=nowhere", f"--output={output}")
        assert (status, out) == (1, "")
        assert err.startswith(f"error: --output {output} ") and reason in err
        assert err.count("\n") == 1
    assert os.listdir(tmp_path) == ["file"] and (tmp_path / "file").read_text() == "mine"


@pytest.mark.slow
def test_ctrl_c_ends_an_evaluation_in_one_line(workdir, tmp_path, repository):
    output = tmp_path / "errors.json"
    process = subprocess.Popen(
        [sys.executable, "-m", "alexnet_tf.evaluate", f"--workdir={workdir}"]
        + ["--batch_size=1", f"--output={output}"],
        stderr=subprocess.PIPE,
        text=True,
        cwd=repository,
    )
    assert process.stderr is not None
    # TensorFlow's notes may stand before it.
    assert any(line.startswith("evaluating run") for line in process.stderr)
    process.send_signal(signal.SIGINT)
    rest = process.stderr.read()
    assert process.wait(timeout=60) == 130
    assert rest == "interrupted\n"
    assert os.listdir(tmp_path) == []


def test_a_damaged_record_is_one_line(tmp_path, capsys):
    data = small_dataset.make(tmp_path / "data", image_size=36, classes=6, validation=13)
    run = finished_run.make(tmp_path / "run", data)
    shard = data / "validation-00001-of-00002"
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 0xFF
    shard.write_bytes(content)
    output = tmp_path / "errors.json"
    status, out, err = call(capsys, f"--workdir={run}", "--views=1", f"--output={output}")
    assert (status, out) == (1, "") and not output.exists()
    (line,) = [line for line in err.splitlines() if line.startswith("error: ")]
    assert f"{shard}: the record at byte" in line and "is damaged" in line
