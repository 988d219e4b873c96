"""The demo: a small two-column net on ten classes of drawn shapes, a few minutes on a laptop.

    make demo
"""

from alexnet_tf import config as recipes


def get_config() -> recipes.ConfigDict:
    """Differences from the paper's training."""
    config = recipes.load("default")
    config.name = "demo"
    config.num_classes = 10
    config.network.name = "demo"
    config.batch_size = 32
    config.train_epochs = 15
    config.learning_rate.initial = 0.01
    config.learning_rate.patience_epochs = 3
    config.log.every_steps = 10
    return config
