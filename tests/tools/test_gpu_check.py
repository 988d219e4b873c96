"""The GPU check's report, and one of its parts on CPU devices."""

import json
import subprocess
import sys

import pytest

from tools import gpu_check


def test_the_report_names_every_part_and_what_failed():
    results = {
        "resume": {"passed": True, "bound": 2e-4, "difference": 0.0},
        "tests": {"passed": False, "error": "error: no GPU"},
    }
    text = gpu_check.report(results, "GPU")
    assert "| resume | yes |" in text and "| tests | NO |" in text
    assert '"error": "error: no GPU"' in text and '"difference": 0.0' in text


@pytest.mark.slow
@pytest.mark.parametrize("part", ["gradients", "columns", "mirrored", "resume"])
def test_parts_pass_on_cpu_devices(part):
    found = subprocess.run(
        [sys.executable, "-m", "tools.gpu_check", f"--part={part}", "--device=CPU", "--quick"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(found.stdout.splitlines()[-1])["passed"]
