"""A sixth convolution on the last pooling: the net of run 146, the paper's "CNN*" (section 6).

    python -m alexnet_tf.train --config=configs/alexnet_6conv.py \\
        --config.data_dir=imagenet --workdir=runs/6conv

conv6 has 256 filters of 3x3 and reads both columns. The paper trained it on all of ImageNet's Fall
2011 release and fine-tuned it: 39.0% top-1 and 16.6% top-5 validation error. Otherwise as
alexnet_code2012. Not run here: neither ImageNet nor that release was at hand.
"""

from alexnet_tf import recipes


def get_config() -> recipes.ConfigDict:
    """Differences from the 2012 code's five convolutions."""
    config = recipes.load("alexnet_code2012")
    config.name = "alexnet_6conv"
    config.promised.parameters = 61_555_304
    config.promised.neurons = 0
    config.log.expected = (
        "with pretraining on Fall 2011, 10 views: 39.0% top-1, 16.6% top-5 (table 2)"
    )
    config.network.update({"sixth_conv": True})
    return config
