"""What a conversion will take, from a sample of its images."""

import pathlib
from collections.abc import Callable

import pytest

from data_prep.pixels import images
from data_prep.shards import estimate
from tests.data_prep.shards.test_making import job, png


@pytest.mark.parametrize(
    ("seconds", "per_image"),
    [
        # The first image, for which a process pays once, does not count among others.
        ([9.0, 2.0, 4.0], 3.0),
        ([9.0, 2.0], 2.0),
        ([9.0], 9.0),
    ],
)
def test_seconds_per_image_are_those_of_all_but_the_first(
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    seconds: list[float],
    per_image: float,
) -> None:
    now = 0.0
    decode: Callable[..., object] = images.square_pixels
    costs = iter(seconds)

    def slow(*arguments: object) -> object:
        nonlocal now
        now += next(costs)
        return decode(*arguments)

    monkeypatch.setattr(images, "square_pixels", slow)
    monkeypatch.setattr(estimate.time, "perf_counter", lambda: now)
    the_job = job(tmp_path, [png(8, seed) for seed in range(len(seconds))])
    done: list[int] = []
    measured = estimate.measure_sample(the_job, done.append)
    assert measured["seconds_per_image"] == per_image
    assert done == [1] * len(seconds) and measured["failed"] == []


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(9, "some seconds"), (42.4, "about 42 seconds"), (5_400, "about 90.0 minutes")],
)
def test_durations_in_words(seconds: float, words: str) -> None:
    assert estimate._duration(seconds) == words
