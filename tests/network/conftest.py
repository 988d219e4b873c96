"""What tests of networks share: PyTorch to compare with, if there is one."""

import importlib.util
import os
import sys

import pytest


@pytest.fixture(scope="session")
def torch_python() -> str:
    """A Python that has PyTorch, which is no dependency."""
    named = os.environ.get("ALEXNET_TORCH_PYTHON")
    if named:
        return named
    if importlib.util.find_spec("torch"):
        return sys.executable
    pytest.skip("needs PyTorch: set ALEXNET_TORCH_PYTHON to a Python that has it")
