"""Run as a program by test_distribution.py: where batches lie when a step asks for them.

Prints, as JSON, for every kind of distribution: the devices of each replica's batch, and whether
the batches are those of the host's pipeline, in the same order, taken one by one and within a
compiled loop.
"""

import dataclasses
import json
import pathlib
import sys
import tempfile

import numpy as np
import tensorflow as tf

from alexnet_tf import recipes
from alexnet_tf.devices import distribution
from alexnet_tf.input import pipeline
from data_prep import dataset
from tests.helpers import small_dataset

STEPS = 5


def main():
    kind = sys.argv[1]
    distribution.split_cpu(3)
    config = recipes.load("demo")
    with tempfile.TemporaryDirectory() as name:
        folder = small_dataset.make(pathlib.Path(name) / "data", image_size=12, store="uint8")
        data = dataset.load(folder)

        def batches(replicas):
            span = pipeline.Span(examples=20, batch_size=6, last_step=STEPS, replicas=replicas)
            return pipeline.training_batches(data, span, pipeline.Augmentation(8), seed=1)

        found = {}
        if kind == "GPU":
            found["one device"] = look(distribution.make(config), batches)
        else:
            one = distribution.make(config)
            found["host"] = look(one, batches)
            found["one device"] = look(dataclasses.replace(one, prefetch_to="/CPU:1"), batches)
            config.devices = ("CPU:2",)
            found["named device"] = look(distribution.make(config), batches)
            config.distribution, config.devices = "mirrored", ("CPU:0", "CPU:1", "CPU:2")
            found["mirrored"] = look(distribution.make(config), batches)
    print(json.dumps(found))


def look(devices, batches):
    expected = list(batches(devices.replicas).as_numpy_iterator())
    local = devices.strategy.experimental_local_results
    places, seen = set(), []
    for batch in devices.iterate(batches):
        parts = [local(batch[key]) for key in ("image", "label", "weight", "row")]
        places.add(tuple(part.device.rpartition("device:")[2] for part in parts[0]))
        seen += [[part.numpy() for part in row] for row in zip(*parts, strict=True)]
    same = len(seen) == len(expected) and all(
        np.array_equal(value, batch[key])
        for row, batch in zip(seen, expected, strict=True)
        for key, value in zip(("image", "label", "weight", "row"), row, strict=True)
    )
    return {"devices": sorted(places), "same": same, "same_in_loop": loop(devices, batches)}


def loop(devices, batches):
    """Whether a compiled loop gets the same labels from the iterator."""
    strategy, replicas = devices.strategy, devices.replicas.local

    def weigh(batch, step):
        # Depends on the order of steps and rows.
        ranks = tf.range(1, tf.size(batch["label"]) + 1)
        return tf.reduce_sum(tf.cast(batch["label"] * ranks, tf.int64)) * (step + 1)

    @tf.function(autograph=False)
    def total(iterator, steps):
        def body(step, sums):
            parts = strategy.run(weigh, args=(next(iterator), step))
            parts = tf.stack(strategy.experimental_local_results(parts))
            return step + 1, sums + parts

        start = (tf.constant(0, tf.int64), tf.zeros([replicas], tf.int64))
        return tf.while_loop(lambda step, _: step < steps, body, start)[1]

    found = total(devices.iterate(batches), tf.constant(STEPS, tf.int64)).numpy()
    expected = np.zeros(replicas, np.int64)
    for number, batch in enumerate(batches(devices.replicas).as_numpy_iterator()):
        labels = batch["label"].astype(np.int64)
        weighed = (labels * np.arange(1, len(labels) + 1)).sum()
        expected[number % replicas] += weighed * (number // replicas + 1)
    return bool(expected.all() and np.array_equal(found, expected))


if __name__ == "__main__":
    main()
