"""The net of "one weird trick" (arXiv 1404.5997), as torchvision's alexnet has it.

    python -m alexnet_tf.train --config=configs/alexnet_owt.py \\
        --config.data_dir=imagenet --workdir=runs/owt

One column of 64-192-384-256-256 filters, conv1 with 2 pixels of padding, no normalisation, inverted
dropout on pool5 and fc6, variances of 1 / (3 fan-in), pixels divided by their standard deviation
(one for all channels here, 57.6; torchvision has one per channel), weight decay 0.0001, batches of
256, the rate divided by 10 every 30 epochs. torchvision draws weights and biases from uniform
distributions; here weights of the same variance are normal and biases begin at 0.

torchvision's weights come in with --config.initial_weights=FILE and
--config.preprocess.mean=torchvision (docs/weights.md).

61,100,840 parameters. Published for it: 43.5% top-1 and 20.9% top-5 error, centre view. Not run
here: ImageNet and GPU-days were not at hand.
"""

from alexnet_tf import recipes


def get_config() -> recipes.ConfigDict:
    """Differences from the paper's text."""
    config = recipes.load("alexnet_paper")
    config.name = "alexnet_owt"
    config.promised.parameters = 61_100_840
    config.promised.neurons = 0
    config.log.expected = "torchvision's weights, validation, centre view: 43.5% top-1, 20.9% top-5"
    config.network.update(
        {
            "columns": 1,
            "filters": (64, 192, 384, 256, 256),
            "padding": (2, 2, 1, 1, 1),
            "rounding": "floor",
            "input_scale": 1 / 57.6,
            "lrn_layers": (),
            "dropout_after": ("pool5", "fc6"),
            "dropout_form": "inverted",
            "init_scale": 1 / 3,
            "init_biases": (0,) * 8,
            "weight_decay": 1e-4,
            "bias_weight_decay": 1e-4,
        }
    )
    config.preprocess.mean = "channel"
    config.preprocess.color_noise = "none"
    config.batch_size = 256
    config.learning_rate.schedule = "steps"
    config.learning_rate.drop_epochs = (30, 60)
    return config
