"""The demo: a small two-column net on ten classes of drawn shapes, a few minutes on a laptop.

    make demo

Images are converted with --image_size=112, of which the net sees crops of 96x96.
"""

from alexnet_tf import recipes


def get_config() -> recipes.ConfigDict:
    """Differences from the paper's training."""
    config = recipes.load("default")
    config.name = "demo"
    config.num_classes = 10
    config.network.name = "demo"
    config.batch_size = 32
    config.train_epochs = 30
    # 0.01 kills this net in the first epoch, 0.003 takes half as long again (tried once each).
    config.learning_rate.initial = 0.005
    config.learning_rate.patience_epochs = 6
    config.log.every_steps = 10
    return config
