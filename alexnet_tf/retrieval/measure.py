"""How good retrieval is: precision@k by features, by pixels, by codes and by chance."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from alexnet_common.messages import log
from alexnet_tf.inference import images as image_files
from alexnet_tf.inference import vectors
from alexnet_tf.inference.network import Network
from alexnet_tf.retrieval import codes, search
from data_prep import dataset

BATCH_SIZE = 256


def precision(neighbors: np.ndarray, labels: np.ndarray) -> float:
    """The share of neighbours that have the query's class, averaged over queries.

    Args:
        neighbors: labels of the neighbours, int [Q, k].
        labels: of the queries, int [Q].
    """
    return float((neighbors == labels[:, None]).mean())


def chance(database: np.ndarray, queries: np.ndarray) -> float:
    """The precision of neighbours drawn at random: the probability that two labels are equal.

    Args:
        database, queries: labels, int [N] and [Q].
    """
    classes = int(max(database.max(), queries.max())) + 1
    shares = [
        np.bincount(labels, minlength=classes) / len(labels) for labels in (database, queries)
    ]
    return float(shares[0] @ shares[1])


def measure(
    network: Network,
    data: dataset.Dataset,
    *,
    layer: str = "",
    views: int = 1,
    queries: int = 1000,
    at: Sequence[int] = (1, 10, 100),
    bits: Sequence[int] = (32, 64),
    epochs: int = 20,
    seed: int = 0,
    progress: Callable[[int], Any] = lambda count: None,
) -> dict[str, Any]:
    """Searches the training split for images of the validation split.

    The same class counts as right. Codes are learnt from the training split's features, without
    labels. Time is that of the search alone, with faiss, on all its threads.

    Args:
        network: the network.
        data: the dataset.
        layer: of the features; empty: the last hidden one.
        views: 1, or 10 whose features are averaged.
        queries: so many images of the validation split, drawn by the seed.
        at: the k of precision@k.
        bits: lengths of codes; empty: none.
        epochs: of the auto-encoder.
        seed: of the draw and of the auto-encoder.
        progress: told after each batch how many images of the training split are done.

    Returns:
        For JSON: counts, `chance`, and `methods`, each with `precision` by k, `bytes_per_image`
        and `milliseconds_per_query`.

    Raises:
        UserError: no such layer or split, no faiss.
    """
    faiss = search.faiss()
    for length in bits:
        codes.check_bits(length)
    by_layer = vectors.by_layer(network, layer, views)
    by_pixels = vectors.by_pixels(network)
    asked, query_labels = _queries(network, data, queries, seed, (by_layer, by_pixels))
    k = min(max(at), data.split("train").count)
    at = sorted({min(wanted, k) for wanted in at})
    count = data.split("train").count
    labels = np.zeros(count, np.int64)
    pixels = search.Nearest(asked[by_pixels.name], k)
    seconds = 0.0
    methods: list[dict[str, Any]] = []

    def add(name: str, words: str, size: int, nearest: search.Nearest, spent: float) -> None:
        neighbors = labels[nearest.numbers]
        methods.append(
            {
                "name": name,
                "words": words,
                "precision": {str(n): precision(neighbors[:, :n], query_labels) for n in at},
                "bytes_per_image": size,
                "milliseconds_per_query": 1000 * spent / len(query_labels),
            }
        )

    with tempfile.TemporaryFile() as file:
        # On the disk: of ImageNet's training split they are 21 GB.
        features = np.memmap(file, np.float32, "w+", shape=(count, by_layer.size))
        first = 0
        for batch in image_files.of_split(data, "train", BATCH_SIZE):
            last = first + len(batch.names)
            assert batch.labels is not None
            labels[first:last] = batch.labels
            features[first:last] = by_layer.of(batch.images)
            block = by_pixels.of(batch.images)
            started = time.perf_counter()
            pixels.add(block)
            seconds += time.perf_counter() - started
            progress(len(batch.names))
            first = last
        started = time.perf_counter()
        nearest = search.Nearest(asked[by_layer.name], k).search(features)
        spent = time.perf_counter() - started
        add(by_layer.name, by_layer.words, 4 * by_layer.size, nearest, spent)
        add(by_pixels.name, by_pixels.words, by_pixels.size, pixels, seconds)
        for length in bits:
            log(f"training an auto-encoder to {length} bits")
            encoder = codes.train(features, length, epochs=epochs, seed=seed)
            stored, codes_asked = encoder.encode(features), encoder.encode(asked[by_layer.name])
            started = time.perf_counter()
            nearest = search.Nearest(codes_asked, k, search.hamming).search(stored)
            spent = time.perf_counter() - started
            words = f"codes of {length} bits, learnt from {by_layer.words}"
            add(f"codes_{length}", words, length // 8, nearest, spent)
    return {
        "database": count,
        "queries": len(query_labels),
        "classes": data.num_classes,
        "threads": faiss.omp_get_max_threads(),
        "chance": chance(labels, query_labels),
        "methods": methods,
    }


def table_text(report: dict[str, Any]) -> str:
    """The report as a table for people."""
    at = list(report["methods"][0]["precision"])
    head = "".join(f"{f'P@{k}':>9}" for k in at)
    width = max(len(method["words"]) for method in report["methods"])
    lines = [
        f"{report['queries']:,} validation images, neighbours among {report['database']:,} "
        f"training images of {report['classes']:,} classes; faiss on {report['threads']} threads",
        f"{'':{width}}{head}  bytes/image  ms/query",
    ]
    for method in report["methods"]:
        numbers = "".join(f"{value:>9.1%}" for value in method["precision"].values())
        lines.append(
            f"{method['words']:{width}}{numbers}  {method['bytes_per_image']:>11,}  "
            f"{method['milliseconds_per_query']:>8.3f}"
        )
    lines.append(f"{'chance':{width}}" + f"{report['chance']:>9.1%}" * len(at))
    return "\n".join(lines)


def _queries(
    network: Network,
    data: dataset.Dataset,
    count: int,
    seed: int,
    ways: Sequence[vectors.Vectors],
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Vectors of the queries in every way, and their labels."""
    drawn = np.random.default_rng(seed).permutation(data.split("validation").count)[:count]
    parts: dict[str, list[np.ndarray]] = {way.name: [] for way in ways}
    labels = []
    for batch in image_files.of_split(data, "validation", BATCH_SIZE, drawn):
        labels.append(batch.labels)
        for way in ways:
            parts[way.name].append(way.of(batch.images))
    joined = {name: np.concatenate(values) for name, values in parts.items()}
    return joined, np.concatenate(labels)  # type: ignore[arg-type]
