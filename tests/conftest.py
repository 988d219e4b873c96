"""What every test shares: the environment TensorFlow sees, the markers, the real data."""

import importlib.util
import os
import pathlib
import signal
import sys

import pytest

from tests.helpers import finished_run, second_stack, small_dataset

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


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--second-stack",
        action="store_true",
        help="leave out the test files that touch neither TensorFlow nor Keras",
    )


def pytest_ignore_collect(collection_path: pathlib.Path, config: pytest.Config) -> bool | None:
    """Files that the main stack's run has tested already."""
    if config.getoption("--second-stack") and second_stack.is_left_out(
        collection_path.relative_to(config.rootpath).as_posix()
    ):
        return True
    return None


def pytest_configure(config: pytest.Config) -> None:
    # A shell starts background jobs deaf to Ctrl-C, nohup deaf to a hang-up; the commands under
    # test would inherit that.
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    for marker in MARKERS:
        config.addinivalue_line("markers", marker)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.environ.get("ALEXNET_TEST_GPU"):
        return
    skip = pytest.mark.skip(reason="needs a GPU: set ALEXNET_TEST_GPU=1 on a machine that has one")
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(skip)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish() -> None:
    """Writes what this process has covered: pytest-xdist kills workers that are slow to end."""
    if "coverage" in sys.modules:
        running = sys.modules["coverage"].Coverage.current()
        if running is not None:
            running.save()


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


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Seven classes; 21 validation images, which no batch of 8 divides."""
    return small_dataset.make(
        tmp_path_factory.mktemp("results") / "data",
        image_size=finished_run.IMAGE_SIZE,
        classes=7,
        train=14,
        validation=21,
    )


@pytest.fixture(scope="session")
def workdir(data_dir: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A run on it."""
    return finished_run.make(tmp_path_factory.mktemp("results") / "run", data_dir)


@pytest.fixture(scope="session")
def other_workdir(data_dir: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Another run on it, with other weights and another mean."""
    return finished_run.make(
        tmp_path_factory.mktemp("results") / "other_run", data_dir, seed=1, mean="channel"
    )


@pytest.fixture(scope="session")
def records(data_dir: pathlib.Path) -> list[tuple[bytes, int]]:
    """JPEG bytes and label (from 0) of every validation image, read by TensorFlow's own reader."""
    import tensorflow as tf

    found = []
    for path in sorted(data_dir.glob("validation-*-of-*")):
        for record in tf.data.TFRecordDataset(str(path)):
            example = tf.train.Example.FromString(record.numpy())
            feature = example.features.feature
            label = feature["image/class/label"].int64_list.value[0] - 1
            found.append((feature["image/encoded"].bytes_list.value[0], label))
    return found


@pytest.fixture
def no_torch(monkeypatch):
    """Stands for the module torch in the pickles that tests write (`tests.helpers.torch_file`)."""
    from tests.helpers import torch_file

    torch_file.stand_in(monkeypatch)
