"""The classes of ILSVRC 2012 in the order in which published networks and datasets number them."""

import functools
from pathlib import Path

_FILE = Path(__file__).with_name("imagenet_classes.tsv")


@functools.cache
def imagenet_classes() -> tuple[tuple[str, str], ...]:
    """(WordNet id, words) of the 1,000 classes of ILSVRC 2012, sorted by id."""
    lines = _FILE.read_text(encoding="utf-8").splitlines()
    pairs = (line.split("\t") for line in lines if not line.startswith("#"))
    return tuple((wordnet_id, words) for wordnet_id, words in pairs)
