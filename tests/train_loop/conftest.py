"""A dataset and a run on it that nobody changes, made once."""

import pytest

# Its assertions show their values, as those of tests do.
pytest.register_assert_rewrite("tests.helpers.short_runs")

from tests.helpers import small_dataset
from tests.helpers.short_runs import arguments, call


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("loop") / "data"
    return small_dataset.make(folder, image_size=28, train=22, validation=10)


@pytest.fixture(scope="session")
def undisturbed(data, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("undisturbed") / "run"
    assert call(arguments(data, workdir)) == 0
    return workdir
