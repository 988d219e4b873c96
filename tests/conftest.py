"""What every test shares: the environment TensorFlow sees, the markers, the real data."""

import importlib.util
import os
import pathlib
import sys

import pytest

# Before anything imports TensorFlow, and inherited by the commands that tests start.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
if not os.environ.get("ALEXNET_TEST_GPU"):
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"

MARKERS = (
    "slow: takes more than a few seconds; left out unless asked for with -m slow",
    "addons: about the second stack (TensorFlow 2.15.1 with tensorflow-addons); "
    "runs there even if it is slow",
    "gpu: needs a GPU; skipped unless ALEXNET_TEST_GPU=1",
)


def pytest_configure(config: pytest.Config) -> None:
    for marker in MARKERS:
        config.addinivalue_line("markers", marker)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.environ.get("ALEXNET_TEST_GPU"):
        return
    skip = pytest.mark.skip(reason="needs a GPU: set ALEXNET_TEST_GPU=1 on a machine that has one")
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(skip)


@pytest.fixture(scope="session")
def repository() -> pathlib.Path:
    """The root of the checkout."""
    return pathlib.Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def real_data(repository: pathlib.Path) -> pathlib.Path:
    """The folder of real images and 2012 definition files; the test is skipped without it."""
    named = os.environ.get("ALEXNET_TEST_DATA")
    folder = pathlib.Path(named) if named else repository.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(
            f"needs the real data, and there is no folder {folder}: "
            "set ALEXNET_TEST_DATA to the folder that holds imagenet_sample.tar"
        )
    return folder


@pytest.fixture(scope="session")
def torch_python() -> str:
    """A Python that has PyTorch, which is no dependency."""
    named = os.environ.get("ALEXNET_TORCH_PYTHON")
    if named:
        return named
    if importlib.util.find_spec("torch"):
        return sys.executable
    pytest.skip("needs PyTorch: set ALEXNET_TORCH_PYTHON to a Python that has it")
