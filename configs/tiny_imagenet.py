"""AlexNet on Tiny ImageNet: 200 classes, 100,000 training images of 64x64 pixels.

    python -m data_prep.build_tfrecords --train=tiny-imagenet-200/train \\
        --validation=tiny-imagenet-200/val --image_size=64 --output_dir=tiny_imagenet
    python -m alexnet_tf.train --config=configs/tiny_imagenet.py \\
        --config.data_dir=tiny_imagenet --workdir=runs/tiny_imagenet

The paper's layers, widths, normalisation, dropout, crops, mirror images, colour noise and update
rule (batches of 128, momentum 0.9, decay 0.0005, rate 0.01) for 30 epochs. What had to change for
images of 64 pixels: crops of 56, and 7x7 filters with stride 2 in conv1, which leave maps of 26, 13
and 6 pixels instead of 55, 27 and 13; initial deviations of the 2012 code (0.03 in conv3 to conv5),
with which the signal reaches the top. A published run from scratch with the same batch, momentum,
decay, rate and about 30 epochs reports 31.75% top-1 accuracy. Not run.
"""

from alexnet_tf import recipes


def get_config() -> recipes.ConfigDict:
    """Differences from the paper's training."""
    config = recipes.load("default")
    config.name = "tiny_imagenet"
    config.num_classes = 200
    config.network.input_size = 56
    config.network.sizes = (7, 5, 3, 3, 3)
    config.network.strides = (2, 1, 1, 1, 1)
    config.network.init_stddevs = (0.01, 0.01, 0.03, 0.03, 0.03, 0.01, 0.01, 0.01)
    config.network.bias_learning_rate_multiplier = 2.0
    config.preprocess.color_noise = "code2012"
    config.train_epochs = 30
    # As run 170 and its successors: four equal parts, down to a 250th.
    config.learning_rate.schedule = "step_exponential"
    config.log.every_steps = 100
    config.log.expected = "above 31.75% top-1 accuracy (68.25% error), 1 view; not run"
    return config
