"""AlexNet at the size of CIFAR-10: what the claims of the paper are tried on.

    python -m alexnet_tf.reproduce --list
    python -m alexnet_tf.train --config=configs/cifar10_alexnet.py \\
        --config.data_dir=cifar10 --workdir=runs/cifar10_alexnet

The paper's layers with 5x5 filters without stride in conv1 and an eighth to a third of its widths,
on crops of 28 from 32 pixels: two columns, normalisation, overlapping pooling, dropout, crops,
flips and colour noise all have their place, and each can be taken away alone. Initial weights are
scaled so that the signal keeps its size at any depth, so that an arm without a part still trains.
Accuracy: see docs/claims.md.
"""

from alexnet_tf import recipes


def get_config() -> recipes.ConfigDict:
    """Differences from the paper's training."""
    config = recipes.load("default")
    config.name = "cifar10_alexnet"
    config.num_classes = 10
    config.network.name = "alexnet"
    config.network.input_size = 28
    # Mean-subtracted pixels have a deviation of about 60.
    config.network.input_scale = 1 / 60
    config.network.sizes = (5, 5, 3, 3, 3)
    config.network.strides = (1, 1, 1, 1, 1)
    config.network.padding = (2, 2, 1, 1, 1)
    config.network.filters = (32, 32, 64, 64, 32)
    config.network.hidden = (128, 128)
    config.network.init_scale = 2.0
    config.network.init_biases = (0, 0, 0, 0, 0, 0, 0, 0)
    config.train_epochs = 30
    # Stretches over a run of any length: 0.01, 0.001, 0.0001.
    config.learning_rate.schedule = "step_exponential"
    config.learning_rate.target_factor = 100.0
    config.learning_rate.stages = 3
    config.log.every_steps = 100
    return config
