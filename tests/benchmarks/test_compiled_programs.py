"""Compiled programs that a restart finds again."""

import importlib.metadata
import os
import subprocess
import sys

import pytest

from alexnet_common import tensorflow_import

# TensorFlow 2.15 compiles nothing for CPUs with such a folder.
SECOND_STACK = importlib.metadata.version("tensorflow").startswith("2.15")


@pytest.mark.skipif(SECOND_STACK, reason="TensorFlow 2.15 goes without kept programs")
def test_other_flags_stay_and_one_that_is_given_wins(monkeypatch, tmp_path):
    folder = tmp_path / "cache"
    monkeypatch.setenv("ALEXNET_XLA_CACHE", str(folder))
    monkeypatch.setenv("TF_XLA_FLAGS", "--tf_xla_max_cluster_size=9")
    for _ in range(2):
        tensorflow_import.keep_compiled_programs()
        assert os.environ["TF_XLA_FLAGS"] == (
            f"--tf_xla_max_cluster_size=9 --tf_xla_persistent_cache_directory={folder}"
        )
    assert folder.is_dir()
    monkeypatch.setenv("TF_XLA_FLAGS", "--tf_xla_persistent_cache_directory=elsewhere")
    tensorflow_import.keep_compiled_programs()
    assert os.environ["TF_XLA_FLAGS"] == "--tf_xla_persistent_cache_directory=elsewhere"
    monkeypatch.delenv("ALEXNET_XLA_CACHE")
    monkeypatch.delenv("TF_XLA_FLAGS")
    tensorflow_import.keep_compiled_programs()
    assert "TF_XLA_FLAGS" not in os.environ


def test_xla_writes_its_programs_there(tmp_path):
    program = (
        "from alexnet_common.tensorflow_import import import_tensorflow; import_tensorflow()\n"
        "import tensorflow as tf\n"
        "print(float(tf.function(lambda x: x * x + 1, jit_compile=True)(tf.constant(3.0))))"
    )
    environment = os.environ | {"ALEXNET_XLA_CACHE": str(tmp_path / "cache")}
    for _ in range(2):
        found = subprocess.run(
            [sys.executable, "-c", program],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        assert found.stdout.strip() == "10.0"
    kept = list((tmp_path / "cache").iterdir()) if (tmp_path / "cache").is_dir() else []
    assert len(kept) == (0 if SECOND_STACK else 1)
