"""Ablation: pooling windows of 2x2 that do not overlap (section 3.4).

    python -m alexnet_tf.train --config=configs/alexnet_no_overlap.py \\
        --config.data_dir=imagenet --workdir=runs/no_overlap

As in layers-147.cfg, conv2 and conv5 lose a pixel of padding, which keeps maps of 13 and 6 pixels;
pooling rounds up, 55 to 28. The paper: 0.4 points top-1 and 0.3 top-5 worse. Not run here.
"""

from alexnet_tf import recipes


def get_config() -> recipes.ConfigDict:
    """Differences from the paper's text."""
    config = recipes.load("alexnet_paper")
    config.name = "alexnet_no_overlap"
    config.promised.neurons = 0
    config.log.expected = (
        "0.4 points of top-1 and 0.3 of top-5 worse than alexnet_paper (section 3.4)"
    )
    config.network.update({"pool_size": 2, "padding": (0, 1, 1, 1, 0)})
    return config
