"""The corpus command: what it calls a fault, and that it runs."""

from __future__ import annotations

import pathlib
import sys

import numpy as np
import pytest
from PIL import Image

from tests import corpus


def test_answers_that_differ_or_are_missing_are_faults() -> None:
    report = corpus.Report()
    report.expected = {"same": np.array([0.25, 0.75]), "other": np.array([0.25, 0.75]),
                       "lost": np.array([0.25, 0.75])}  # fmt: skip
    judge = corpus._judge_prediction
    judge(report, "same", [{"probability": 0.75}], False)
    judge(report, "refused by both", None, True)
    assert report.faults == []
    judge(report, "other", [{"probability": 0.7}], False)
    judge(report, "lost", None, True)
    judge(report, "silent", None, False)
    judge(report, "only here", [{"probability": 0.7}], False)
    assert [name for name, _ in report.faults] == ["other", "lost", "silent", "only here"]


def test_pixels_are_a_fault_where_no_other_library_agrees() -> None:
    report = corpus.Report()
    corpus._judge_others(report, "one", True, {"Pillow": "same", "OpenCV": "differs at 5%"})
    corpus._judge_others(report, "none", True, {"Pillow": "refuses", "OpenCV": "refuses"})
    corpus._judge_others(report, "missed", False, {"Pillow": "reads it", "OpenCV": "both refuse"})
    assert report.faults == []
    assert report.read_here_only == ["none"] and list(report.read_by_others) == ["missed"]
    corpus._judge_others(report, "two", True, {"Pillow": "differs at 9%", "OpenCV": "refuses"})
    assert [name for name, _ in report.faults] == ["two"]


@pytest.mark.slow
def test_a_clean_folder_is_clean(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)
    for name in ("a.jpg", "b.png", "c.bmp", "d.gif"):
        Image.fromarray(pixels).save(tmp_path / name)
    (tmp_path / "e.jpg").write_bytes(b"text")
    monkeypatch.setattr(sys, "argv", ["corpus", str(tmp_path)])
    status = corpus.main()
    said = capsys.readouterr().out
    assert status == 0, said
    assert "converted 4, refused 1" in said and "faults: 0" in said
