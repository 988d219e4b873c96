"""Krizhevsky's own definition files of 2012, unchanged, as networks to train.

    python -m alexnet_tf.train --config=configs/cuda_convnet.py \\
        --config.layers=layers-145.cfg --config.layer_params=layer-params-145.cfg \\
        --config.data_dir=imagenet --workdir=runs/145

Without the parameter file rates, decays and norms are stand-ins: good to look at the network
(--print_network). Parameter files hold a run's last state: a run from scratch takes its rates from
config.learning_rate, and says so. All that this reads, and what it does not, is in
docs/definition_files.md. Not run here beyond a few updates of each file.
"""

from alexnet_tf import recipes


def get_config() -> recipes.ConfigDict:
    """The 2012 code's training around a network that the files describe."""
    config = recipes.load("default")
    config.name = "cuda_convnet"
    # The layer-definition and the layer-parameter file.
    config.layers = ""
    config.layer_params = ""
    config.network.name = "cuda_convnet"
    config.network.update(
        {
            "layers": config.get_ref("layers"),
            "layer_params": config.get_ref("layer_params"),
            "base_rate": config.learning_rate.get_ref("initial"),
        }
    )
    # As many as the file's last layer has.
    config.num_classes = 0
    config.preprocess.color_noise = "code2012"
    return config
