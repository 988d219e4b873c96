"""Run as a program by test_optimizer_replicas.py: one replica against two, for every optimizer.

Each of two replicas gets its part of every gradient. Prints, as JSON, by how much the weights, the
optimizer's state and the gradients' norms differ from those of one replica that gets the sums; and
from those of NumPy for the norms ("numpy"), and of a run without a step whose gradient is not
finite on one of the replicas ("left out").
"""

import json
import sys

import numpy as np
import tensorflow as tf

from alexnet_tf import recipes
from alexnet_tf.model.layers import VariableSettings
from alexnet_tf.optim import optimizer as optimizers
from alexnet_tf.train_loop import step as steps

STEPS = 6
SHAPES = ((3, 3, 2, 4), (4,), (8, 5), (5,))
SETTINGS = (
    VariableSettings("conv/kernel", 1.0, 0.05, None, norm_range=(0.01, 0.03)),
    VariableSettings("conv/bias", 2.0, 0.0, None),
    VariableSettings("fc/kernel", 1.0, 0.05, None, norm_ball=0.1),
    VariableSettings("fc/bias", 0.0, 0.0, None),
)


def train(strategy, replicas, changes, limit, bad=None):
    """Weights, state and norms at the end; `bad`: before this step, one that is to be left out."""
    random = np.random.default_rng(0)
    start = [random.normal(size=shape).astype(np.float32) for shape in SHAPES]
    # [steps][variables][2 parts, ...]
    parts = [
        [random.normal(size=(2, *shape)).astype(np.float32) for shape in SHAPES]
        for _ in range(STEPS)
    ]
    config = recipes.load("default")
    config.optimizer.update(changes)
    with strategy.scope():
        variables = [tf.Variable(value) for value in start]
        optimizer = optimizers.make(config, SETTINGS, replicas=replicas)
        optimizer.build(variables)

    @tf.function
    def step(gradients):
        def one_replica():
            replica = tf.distribute.get_replica_context().replica_id_in_sync_group
            own = [tf.reduce_sum(g, 0) if replicas == 1 else g[replica] for g in gradients]
            return steps.update(
                optimizer, own, variables, clip_global_norm=limit, skip_not_finite=bad is not None
            )

        norms = strategy.experimental_local_results(strategy.run(one_replica))
        return norms[0], norms[-1]

    norms = []
    for number, gradients in enumerate(parts):
        optimizer.learning_rate = 0.1 if number < 4 else 0.02
        if number == 2:
            optimizers.set_multipliers(optimizer, (0.5, 0.0, 1.0, 0.0))
        if number == bad:
            spoilt = [gradient.copy() for gradient in gradients]
            spoilt[0][0, 0] = np.inf
            assert not np.isfinite(step([tf.constant(gradient) for gradient in spoilt])).any()
        norms.append(step([tf.constant(gradient) for gradient in gradients]))
    values = {"norms": np.array(norms)}
    for number, variable in enumerate(variables):
        copies = strategy.experimental_local_results(variable)
        values[f"first_{number}"], values[f"last_{number}"] = copies[0].numpy(), copies[-1].numpy()
    return values | optimizers.state(optimizer)


def difference(one, two):
    assert one.keys() == two.keys()
    return max(float(np.abs(one[key] - two[key]).max()) for key in one)


def numpy_norms():
    """Of the sums; the last variable is always frozen, the second from step 2 on."""
    random = np.random.default_rng(0)
    for shape in SHAPES:
        random.normal(size=shape)
    norms = []
    for number in range(STEPS):
        wholes = [random.normal(size=(2, *shape)).astype(np.float32).sum(0) for shape in SHAPES]
        counted = wholes[:3] if number < 2 else [wholes[0], wholes[2]]
        norms.append(np.sqrt(sum((whole.astype(np.float64) ** 2).sum() for whole in counted)))
    return np.array(norms)


def main():
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(
        cpu, [tf.config.LogicalDeviceConfiguration() for _ in range(2)]
    )
    found = {}
    for name in sys.argv[1].split(","):
        for limit in (0.0, 0.5):
            one = train(tf.distribute.get_strategy(), 1, {"name": name}, limit)
            strategy = tf.distribute.MirroredStrategy(["/CPU:0", "/CPU:1"])
            two = train(strategy, strategy.num_replicas_in_sync, {"name": name}, limit)
            found[f"{name} {limit}"] = difference(one, two)
        norms = numpy_norms()[:, None] * np.ones(2)
        found[f"{name} numpy"] = float(np.abs(two["norms"] / norms - 1).max())
        spoilt = train(strategy, strategy.num_replicas_in_sync, {"name": name}, limit, bad=3)
        found[f"{name} left out"] = difference(two, spoilt)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
