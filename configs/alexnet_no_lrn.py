"""Ablation: the paper's net without response normalisation (section 3.3).

    python -m alexnet_tf.train --config=configs/alexnet_no_lrn.py \\
        --config.data_dir=imagenet --workdir=runs/no_lrn

The paper: 1.4 points top-1 and 1.2 top-5 worse; run 148 of the 2012 diary, which had two kinds of
normalisation to lose: 1.37 and 1.15. Not run here.
"""

from alexnet_tf import recipes


def get_config() -> recipes.ConfigDict:
    """Differences from the paper's text."""
    config = recipes.load("alexnet_paper")
    config.name = "alexnet_no_lrn"
    config.log.expected = (
        "1.4 points of top-1 and 1.2 of top-5 worse than alexnet_paper (section 3.3)"
    )
    config.network.update({"lrn_layers": ()})
    return config
