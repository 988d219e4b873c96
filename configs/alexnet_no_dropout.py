"""Ablation: the paper's net without dropout (section 4.2).

    python -m alexnet_tf.train --config=configs/alexnet_no_dropout.py \\
        --config.data_dir=imagenet --workdir=runs/no_dropout

The paper: "substantial overfitting", without a number. Not run here.
"""

from alexnet_tf import recipes


def get_config() -> recipes.ConfigDict:
    """Differences from the paper's text."""
    config = recipes.load("alexnet_paper")
    config.name = "alexnet_no_dropout"
    config.log.expected = "substantial overfitting (section 4.2)"
    config.network.update({"dropout_after": ()})
    return config
