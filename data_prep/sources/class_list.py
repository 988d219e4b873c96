"""Which class a number means, where a collection of images numbers its classes.

ImageNet's collections number the classes 0..999 in the sorted order of their WordNet ids, which is
neither the devkit's order nor always stated beside them.
"""

import dataclasses
from collections.abc import Sequence

from alexnet_common.errors import UserError
from alexnet_common.imagenet_classes import imagenet_classes
from data_prep.sources import labels
from data_prep.sources.imagenet import Devkit


@dataclasses.dataclass(frozen=True)
class ClassList:
    """The classes in the order of their numbers, and where that is known from.

    `titles` maps classes to words; it is empty where they are not known.
    """

    names: tuple[str, ...]
    origin: str
    titles: dict[str, str] = dataclasses.field(default_factory=dict)


def read(path: str) -> ClassList:
    """Reads a class list: a line per class, its name and optionally words for it.

    Kaggle's LOC_synset_mapping.txt and TFDS' label.labels.txt are such files. Where every line
    begins with a WordNet id (`n01440764`), what follows are words; else the line is the name.

    Raises:
        UserError: it is empty, no text, or names a class twice.
    """
    return parse(path, labels.read_file(path))


def parse(path: str, content: bytes) -> ClassList:
    """As `read`, of the content of a class list; `path` is for messages."""
    lines = [line for _, line in labels.numbered_lines(path, content)]
    if not lines:
        raise UserError(f"{path}: is empty; expected one class per line")
    titles: dict[str, str] = {}
    names = lines
    if all(is_synset(line.split()[0]) for line in lines):
        pairs = [line.split(None, 1) for line in lines]
        names = [pair[0] for pair in pairs]
        titles = {pair[0]: pair[1] for pair in pairs if len(pair) == 2}
    if len(set(names)) != len(names):
        twice = next(name for place, name in enumerate(names) if name in names[:place])
        raise UserError(f"{path}: names the class {twice!r} twice")
    return ClassList(tuple(names), path, titles if len(titles) == len(names) else {})


def is_synset(name: str) -> bool:
    """Whether a name is a WordNet id, as `n01440764`."""
    return len(name) == 9 and name[0] == "n" and name[1:].isdigit() and name.isascii()


def choose(
    path: str,
    largest: int,
    given: ClassList | None,
    stated: Sequence[str],
    devkit: Devkit | None,
) -> ClassList:
    """The list that numbers 0 to `largest` refer to.

    Args:
        path: the source, for messages.
        largest: the largest number that occurs in it.
        given: what the user named.
        stated: names that the source itself states, in order; () for none.
        devkit: its classes, sorted, are ImageNet's published order.

    Raises:
        UserError: none is known, or the list is too short.
    """
    published = imagenet_classes()
    in_words = len(stated) == len(published) and not all(map(is_synset, stated))
    if given is not None:
        chosen = given
    elif stated and not in_words:
        chosen = ClassList(tuple(stated), f"{path} itself")
    elif devkit is not None:
        chosen = ClassList(tuple(sorted(devkit.class_names)), "the devkit, sorted")
    elif in_words or largest == len(published) - 1:
        names = tuple(name for name, _ in published)
        chosen = ClassList(names, "the published order of ILSVRC 2012", dict(published))
    else:
        raise UserError(
            f"{path}: numbers its classes 0 to {largest} and does not name them; name them with "
            "--class_list=FILE, one class per line in that order, or with --devkit"
        )
    if largest >= len(chosen.names):
        raise UserError(
            f"{path}: has a class number {largest}, but {chosen.origin} holds "
            f"{len(chosen.names):,} classes, from 0"
        )
    return chosen
