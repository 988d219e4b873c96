"""Finds images that look alike to a trained network (section 6.1 of the paper).

Example:
  python -m alexnet_tf.retrieve index   --workdir=RUN --split=train --index=INDEX
  python -m alexnet_tf.retrieve query   --index=INDEX photo.jpg
  python -m alexnet_tf.retrieve measure --workdir=RUN

index      writes the features of many images, and short binary codes if wanted
query      the images of an index nearest to others
measure    precision of neighbours by features, by pixels, by codes and by chance

Each action has a --help of its own. Needs faiss: pip install 'alexnet-tf[retrieve]'.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

from absl import flags

from alexnet_common import command, files, progress
from alexnet_common.errors import UsageError
from alexnet_common.messages import log
from alexnet_common.suggestions import did_you_mean
from alexnet_tf import network_flags

INDEX_DOC = """Writes the features of many images to a folder that can be searched.

Example:
  python -m alexnet_tf.retrieve index --workdir=RUN --split=train --index=INDEX
  python -m alexnet_tf.retrieve index --workdir=RUN --images=photos --code_bits=64 --index=INDEX

The features are the outputs of the last hidden layer, or of --layer. With --code_bits an
auto-encoder is trained on them, without labels, and its binary codes are kept too.
"""
QUERY_DOC = """Names the images of an index that are nearest to others, as JSON.

Example:
  python -m alexnet_tf.retrieve query --index=INDEX photo.jpg other.png
  python -m alexnet_tf.retrieve query --index=INDEX --by=codes --images=photos

Nearest is by Euclidean distance of the features, or by differing bits of the codes. The network is
the one that made the index, at the place where it lay then, or at --workdir.
"""
MEASURE_DOC = """Measures how many neighbours have the query's class: precision@k.

Example:
  python -m alexnet_tf.retrieve measure --workdir=RUN --at=1,10,100 --bits=32,64

Images of the validation split ask, the training split answers: by features, by the pixels
themselves, by short binary codes that an auto-encoder learns from the features, and by chance. A
table goes to stderr, JSON to stdout or --output.
"""


def _define_layer(flag_values: flags.FlagValues) -> None:
    flags.DEFINE_string(
        "layer", "", "Layer of the features; empty: the last hidden one.", flag_values=flag_values
    )
    flags.DEFINE_enum(
        "views", "1", ["1", "10"], "The centre, or the mean over ten views.",
        flag_values=flag_values,
    )  # fmt: skip
    flags.DEFINE_integer(
        "seed", 0, "Of draws and of the auto-encoder.", lower_bound=0, flag_values=flag_values
    )


def _define_files(flag_values: flags.FlagValues) -> None:
    network_flags.define_images(flag_values)
    network_flags.define_reading(flag_values)


def _define_index(flag_values: flags.FlagValues) -> None:
    network_flags.define(flag_values)
    _define_files(flag_values)
    _define_layer(flag_values)
    flags.DEFINE_integer(
        "code_bits", 0, "Length of binary codes, a multiple of 8; 0: none.", lower_bound=0,
        flag_values=flag_values,
    )  # fmt: skip
    flags.DEFINE_string("index", None, "Folder to write.", flag_values=flag_values)
    flags.mark_flag_as_required("index", flag_values=flag_values)


def _index(flag_values: flags.FlagValues, arguments: list[str]) -> int:
    source = network_flags.image_source(flag_values, arguments)
    network = network_flags.load(flag_values)
    from alexnet_tf.inference import selection
    from alexnet_tf.retrieval import index

    index.check_replaceable(flag_values.index)
    layer = flag_values.layer or selection.last_hidden(network.run.table)
    selection.choose(network.run.table, [layer])
    batches, total, origin = source.open(network, flag_values)
    made, written = index.make(
        flag_values.index,
        network,
        batches,
        layer,
        views=int(flag_values.views),
        code_bits=flag_values.code_bits,
        seed=flag_values.seed,
        facts=network_flags.facts(network) | {"images": origin},
        progress=progress.bar("index", total),
    )
    network_flags.tell_skipped(written.skipped)
    report = {key: value for key, value in made.facts.items() if key != "class_names"}
    print(json.dumps({"index": flag_values.index, **report}, ensure_ascii=False))
    return 0


def _define_query(flag_values: flags.FlagValues) -> None:
    flags.DEFINE_string("index", None, "Folder of the index.", flag_values=flag_values)
    flags.mark_flag_as_required("index", flag_values=flag_values)
    network_flags.define(flag_values)
    _define_files(flag_values)
    flags.DEFINE_integer("neighbors", 6, "Of each image.", lower_bound=1, flag_values=flag_values)
    flags.DEFINE_enum(
        "by", "features", ["features", "codes"], "What is compared.", flag_values=flag_values
    )


def _query(flag_values: flags.FlagValues, arguments: list[str]) -> int:
    source = network_flags.image_source(flag_values, arguments)
    from alexnet_common.tensorflow_import import import_tensorflow

    import_tensorflow()
    from alexnet_tf.inference import vectors
    from alexnet_tf.retrieval import index as indices
    from alexnet_tf.retrieval import search

    search.faiss()
    index = indices.load(flag_values.index)
    if not flag_values.workdir and not flag_values.model:
        place = "workdir" if index.facts["checkpoint"] != "file" else "model"
        flag_values[place].value = index.facts["source"]
        if place == "workdir":
            flag_values["checkpoint"].value = index.facts["checkpoint"]
    network = network_flags.load(flag_values)
    indices.check_network(index, network)
    way = vectors.by_layer(network, index.facts["layer"], index.facts["views"])
    batches, _, _ = source.open(network, flag_values)
    results = []
    for batch in batches:
        network_flags.tell_skipped(batch.skipped)
        if not batch.names:
            continue
        nearest = index.search(
            way.of(batch.images), flag_values.neighbors, flag_values.by == "codes"
        )
        # faiss gives squares.
        distances = nearest.distances if flag_values.by == "codes" else nearest.distances**0.5
        for name, numbers, far in zip(batch.names, nearest.numbers, distances, strict=True):
            results.append(
                {
                    "name": name,
                    "neighbors": [
                        _neighbor(index, int(number), float(distance))
                        for number, distance in zip(numbers, far, strict=True)
                    ],
                }
            )
    print(json.dumps(results, indent=1, ensure_ascii=False))
    return 0


def _neighbor(index: Any, number: int, distance: float) -> dict[str, Any]:
    neighbor = {"name": index.names[number], "number": number, "distance": distance}
    if index.labels:
        neighbor["class"] = index.facts["class_names"][index.labels[number]]
    return neighbor


def _define_measure(flag_values: flags.FlagValues) -> None:
    network_flags.define(flag_values)
    _define_layer(flag_values)
    flags.DEFINE_integer(
        "queries", 1000, "Images of the validation split that ask, at most.", lower_bound=1,
        flag_values=flag_values,
    )  # fmt: skip
    flags.DEFINE_list("at", ["1", "10", "100"], "The k of precision@k.", flag_values=flag_values)
    flags.DEFINE_list(
        "bits", ["32", "64"], "Lengths of codes; empty: none.", flag_values=flag_values
    )
    flags.DEFINE_integer(
        "epochs", 20, "Of the auto-encoder.", lower_bound=1, flag_values=flag_values
    )
    flags.DEFINE_string("output", "", "Write the JSON to this file.", flag_values=flag_values)


def _measure(flag_values: flags.FlagValues, arguments: list[str]) -> int:
    if arguments:
        raise UsageError(f"unexpected argument {arguments[0]!r}")
    at, bits = _whole("at", flag_values.at), _whole("bits", flag_values.bits)
    if not at:
        raise UsageError("--at names no k")
    if flag_values.output:
        files.check_writable(flag_values.output, "--output")
    network = network_flags.load(flag_values)
    from alexnet_tf.retrieval import measure

    data = network_flags.dataset_of(network, flag_values.data_dir)
    report = measure.measure(
        network,
        data,
        layer=flag_values.layer,
        views=int(flag_values.views),
        queries=flag_values.queries,
        at=at,
        bits=bits,
        epochs=flag_values.epochs,
        seed=flag_values.seed,
        progress=progress.bar("features", data.split("train").count),
    )
    report = network_flags.facts(network) | {"data_dir": data.directory} | report
    log(measure.table_text(report))
    text = json.dumps(report, indent=2, ensure_ascii=False) + "\n"
    if flag_values.output:
        files.write_atomically(flag_values.output, text.encode())
    else:
        print(text, end="")
    return 0


def _whole(name: str, texts: list[str]) -> list[int]:
    """Positive numbers of a list flag; raises UsageError."""
    try:
        numbers = [int(text) for text in texts]
    except ValueError as error:
        raise UsageError(f"--{name} must be whole numbers, such as 1,10, not {texts}") from error
    if any(number < 1 for number in numbers):
        raise UsageError(f"--{name} must be 1 or more")
    return numbers


ACTIONS: dict[str, tuple[Callable[[flags.FlagValues], None], Callable[..., int], str]] = {
    "index": (_define_index, _index, INDEX_DOC),
    "query": (_define_query, _query, QUERY_DOC),
    "measure": (_define_measure, _measure, MEASURE_DOC),
}


def call(argv: list[str]) -> int:
    """Runs the action that `argv[0]` names with the flags behind it; returns the exit status."""
    if argv and argv[0] in ACTIONS:
        return command.call(*ACTIONS[argv[0]], argv[1:])
    return command.call(_define_nothing, _no_action, __doc__, argv)


def _define_nothing(flag_values: flags.FlagValues) -> None:
    """Each action has flags of its own."""


def _no_action(flag_values: flags.FlagValues, arguments: list[str]) -> int:
    listed = ", ".join(ACTIONS)
    if not arguments:
        raise UsageError(
            f"no action named; there are {listed}: python -m alexnet_tf.retrieve ACTION"
        )
    hint = did_you_mean(arguments[0], ACTIONS)
    raise UsageError(f"no action {arguments[0]!r}{hint or '; there are ' + listed}")


def run() -> None:
    """Console entry point."""
    sys.exit(call(sys.argv[1:]))


if __name__ == "__main__":
    run()
