"""AlexNet as the 2012 code really ran it: run 145, the source of the paper's numbers.

    python -m alexnet_tf.train --config=configs/alexnet_code2012.py \\
        --config.data_dir=imagenet --workdir=runs/code2012

Differences from the paper's text, all from layers-145.cfg and layer-params-145.cfg of the 2012
release: the normalisation of layer 1 stands before the neurons, which act after the pooling (as in
layer 5); its alpha is divided by the window of 5; a second normalisation, within each map, follows
that of layer 2; conv3 to conv5 begin at 0.03; biases learn at twice the rate of the weights; colour
noise scales with the square roots of the eigenvalues, and the image is divided by 1.1 after it.

60,965,224 parameters. The schedule is Krizhevsky's diary of this run as data (configs/default.py):
the rate divided by 10 at epochs 25, 51 and 79, on conv1 earlier, no colour noise from 67, the
biases' rate never reduced, 91 epochs. His validation error with 10 views: 40.66% top-1, 18.21%
top-5. Two things that his code did are left to --config.input.crop_chunk=32 (one crop offset and
one flip for 32 consecutive images, which saved it time) and to --config.network.pool_ties=all (the
whole gradient to each of equal maxima, which costs time here). Not run here: ImageNet and GPU-days
were not at hand.
"""

from alexnet_tf import recipes


def get_config() -> recipes.ConfigDict:
    """Differences from the paper's text."""
    config = recipes.load("alexnet_paper")
    config.name = "alexnet_code2012"
    config.log.expected = "run 145, validation, 10 views: 40.66% top-1, 18.21% top-5 (its diary)"
    config.network.update(
        {
            "neuron_after_pool": (1, 5),
            "lrn_alpha_over_size": True,
            "spatial_norm_layers": (2,),
            "init_stddevs": (0.01, 0.01, 0.03, 0.03, 0.03, 0.01, 0.01, 0.01),
            "bias_learning_rate_multiplier": 2.0,
        }
    )
    config.preprocess.color_noise = "code2012"
    config.train_epochs = 91
    config.learning_rate.schedule = "diary"
    return config
