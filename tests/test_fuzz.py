"""The corpus of `make fuzz` and small changes of it: what is refused is refused in one line."""

from __future__ import annotations

import pathlib
import random

import pytest

from tests.fuzz import targets
from tests.helpers.mutations import mutated

CORPUS = pathlib.Path(__file__).parent / "fuzz" / "corpus"


def corpus(name: str) -> list[bytes]:
    return [path.read_bytes() for path in sorted((CORPUS / name).iterdir())]


def test_every_target_has_a_corpus() -> None:
    assert {path.name for path in CORPUS.iterdir()} == set(targets.TARGETS)
    sizes = [path.stat().st_size for path in CORPUS.rglob("*") if path.is_file()]
    assert sum(sizes) < 200_000 and max(sizes) <= 4096


@pytest.mark.parametrize("name", sorted(targets.TARGETS))
def test_corpus(name: str) -> None:
    read = 0
    for content in corpus(name):
        try:
            targets.TARGETS[name](content)
            read += 1
        except targets.Refused:
            pass
    # Files that are right are among them: else the target tests the first check only.
    assert read > 0


@pytest.mark.parametrize("name", sorted(targets.TARGETS))
def test_changed_corpus(name: str) -> None:
    generator = random.Random(2012)
    files = corpus(name)
    refused = 0
    for _ in range(150):
        content = mutated(files, generator)
        try:
            targets.TARGETS[name](content)
        except targets.Refused:
            refused += 1
    assert refused > 0


def test_what_is_no_refusal_gets_through() -> None:
    """A target that swallowed everything would find nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(targets.labels, "parse", lambda *_: {}["missing"])
        with pytest.raises(KeyError):
            targets.label_file(b"a.jpg cat\n")
        patch.setattr(targets.labels, "parse", _without_words)
        with pytest.raises(AssertionError, match="without words"):
            targets.label_file(b"a.jpg cat\n")


def _without_words(*_: object) -> None:
    raise targets.UserError("")
