"""Ablation: tanh instead of rectified neurons (section 3.1).

    python -m alexnet_tf.train --config=configs/alexnet_tanh.py \\
        --config.data_dir=imagenet --workdir=runs/tanh

The paper compares them on CIFAR-10 only (figure 1: six times as many epochs to 25% training error,
with rates chosen for each). Biases of 1, meant to start rectifiers in their active half, are 0
here. Not run here.
"""

from alexnet_tf import recipes


def get_config() -> recipes.ConfigDict:
    """Differences from the paper's text."""
    config = recipes.load("alexnet_paper")
    config.name = "alexnet_tanh"
    config.log.expected = (
        "slower: on CIFAR-10, section 3.1 needs six times the epochs to 25% training error"
    )
    config.network.update({"neuron": "tanh[1,1]", "init_biases": (0,) * 8})
    return config
