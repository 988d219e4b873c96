"""CIFAR-10 in minutes: the "80sec" net of the 2012 code's examples (layers-80sec.cfg).

    python -m data_prep.build_tfrecords --train=cifar10_jpeg/train \\
        --validation=cifar10_jpeg/test --image_size=32 --output_dir=cifar10
    python -m alexnet_tf.train --config=configs/cifar10_quick.py \\
        --config.data_dir=cifar10 --workdir=runs/cifar10

145,578 parameters; rates 0.001 for weights and 0.002 for biases, decay 0.004 (convolutions) and
0.03 (fully connected), whole 32x32 images without crops or mirrors; the rate falls to a tenth after
8 of 10 epochs. The author reported 26% error on the original CIFAR-10; the JPEG files used here
were encoded anew at quality 75, so figures are comparable to about a point.
"""

from alexnet_tf import recipes


def get_config() -> recipes.ConfigDict:
    """Differences from the paper's training."""
    config = recipes.load("default")
    config.name = "cifar10_quick"
    config.num_classes = 10
    config.network.name = "cifar_quick"
    config.train_epochs = 10
    config.input.random_crop = False
    config.input.random_flip = False
    config.preprocess.color_noise = "none"
    config.learning_rate.initial = 0.001
    config.learning_rate.schedule = "steps"
    config.learning_rate.drop_epochs = (8,)
    config.log.every_steps = 100
    return config
