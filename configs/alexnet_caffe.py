"""AlexNet as Caffe's model zoo has it: bvlc_alexnet.

    python -m alexnet_tf.train --config=configs/alexnet_caffe.py \\
        --config.data_dir=imagenet --workdir=runs/caffe

Differences from the paper's text: 227 pixels instead of zeros at the right and at the bottom;
normalisation with k = 1 and alpha / 5, across the seam of the columns; fc6 and fc7 begin at 0.005;
biases of 0.1 instead of 1, learning at twice the rate; inverted dropout; no colour noise; batches
of 256, the rate divided by 10 every 100,000 updates (20 epochs), 450,000 updates in all.

BVLC's weights come in with --config.initial_weights=FILE and --config.preprocess.mean=caffe
(docs/weights.md).

60,965,224 parameters. Published for it: 42.9% top-1 and 19.8% top-5 error, centre view. Not run
here: ImageNet and GPU-days were not at hand.
"""

from alexnet_tf import recipes


def get_config() -> recipes.ConfigDict:
    """Differences from the paper's text."""
    config = recipes.load("alexnet_paper")
    config.name = "alexnet_caffe"
    config.log.expected = "BVLC's own run, validation, centre view: 42.9% top-1, 19.8% top-5"
    config.network.update(
        {
            "input_size": 227,
            "rounding": "floor",
            "lrn_k": 1.0,
            "lrn_alpha_over_size": True,
            "lrn_across_columns": True,
            "dropout_form": "inverted",
            "init_stddevs": (0.01, 0.01, 0.01, 0.01, 0.01, 0.005, 0.005, 0.01),
            "init_biases": (0, 0.1, 0, 0.1, 0.1, 0.1, 0.1, 0),
            "bias_learning_rate_multiplier": 2.0,
        }
    )
    config.preprocess.color_noise = "none"
    config.batch_size = 256
    config.learning_rate.schedule = "steps"
    config.learning_rate.drop_epochs = (20, 40, 60, 80)
    return config
