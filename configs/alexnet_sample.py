"""Smoke test: the paper's full network for 20 updates on a few hundred ImageNet photographs.

    python -m data_prep.build_tfrecords --train=imagenet_sample --output_dir=sample
    python -m alexnet_tf.train --config=configs/alexnet_sample.py \\
        --config.data_dir=sample --workdir=runs/sample

It shows that real photographs go through the full network at the paper's batch size, and how fast;
one image per class teaches it nothing.
"""

from alexnet_tf import recipes


def get_config() -> recipes.ConfigDict:
    """The paper's recipe, cut short."""
    config = recipes.load("alexnet_paper")
    config.name = "alexnet_sample"
    config.log.expected = "a loss near ln(400) = 5.99: 20 updates teach it nothing"
    config.train_steps = 20
    config.log.every_steps = 5
    # Nothing to watch: the sample has no validation split.
    config.learning_rate.schedule = "constant"
    return config
