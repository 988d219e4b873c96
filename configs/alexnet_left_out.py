"""Ablation: the paper's net with a layer left out (section 7); conv3 unless said otherwise.

    python -m alexnet_tf.train --config=configs/alexnet_left_out.py \\
        --config.network.leave_out='("conv4",)' \\
        --config.data_dir=imagenet --workdir=runs/without_conv4

conv2 ... conv5, fc6 and fc7 can go; the pooling after a convolution stays, so that maps keep their
sizes, and where conv3 goes conv4 reads both columns in its place. The paper: removing any of the
middle layers costs about 2 points top-1. Not run here.
"""

from alexnet_tf import recipes


def get_config() -> recipes.ConfigDict:
    """Differences from the paper's text."""
    config = recipes.load("alexnet_paper")
    config.name = "alexnet_left_out"
    config.promised.parameters = 0
    config.promised.neurons = 0
    config.log.expected = "about 2 points of top-1 worse than alexnet_paper (section 6.1's claim)"
    config.network.update({"leave_out": ("conv3",)})
    return config
