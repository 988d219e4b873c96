"""Every setting with its default: the paper's training (sections 3 to 5) on one device.

Recipes state only their differences from this file. Durations carry their unit in the name.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """The defaults; `name`, `data_dir` and `network` are what a recipe must choose."""
    config = ConfigDict()
    config.name = "default"
    # All randomness (initial weights, order, crops, flips, colour noise, dropout) comes from this.
    config.seed = 0
    # The folder that data_prep.build_tfrecords wrote.
    config.data_dir = ""
    # Examples per update, over all replicas and machines (section 5: 128).
    config.batch_size = 128
    # Section 5: "roughly 90 cycles through the training set".
    config.train_epochs = 90
    # Stop earlier, after so many updates; 0: train_epochs decides.
    config.train_steps = 0

    # network.name is a recipe in alexnet_tf/network; its options follow it (--print_network).
    config.network = ConfigDict({"name": "alexnet"})
    # Classes for --print_network without a dataset; training takes them from the dataset.
    config.num_classes = 1000

    # Where to compute: "one_device", "mirrored" (all GPUs of this machine) or "multi_worker"
    # (machines named by TF_CONFIG); `devices` picks some, such as ("GPU:0", "GPU:1").
    config.distribution = "one_device"
    config.devices = ()
    # Where the network's columns lie: "one_device", or "two_devices" for column i on device i, as
    # on the two GPUs of 2012.
    config.placement = "one_device"
    # "float32", "mixed_bfloat16", or "mixed_float16" with the loss scaled by loss_scale.
    config.precision = "float32"
    config.loss_scale = 1024.0
    # Compile the update with XLA (on CPUs it is slower).
    config.jit_compile = False
    # Updates inside one compiled call: less overhead for small networks.
    config.steps_per_call = 1
    # Parts in which a batch is computed one after another: the same update in less memory.
    config.accumulation_steps = 1
    # Only operations whose results do not depend on timing, also on GPUs (slower there).
    config.deterministic = False
    # Random pixels instead of a dataset, for benchmarks and for trying a cluster.
    config.synthetic_data = False
    # Train on the first so many examples only, for trials; 0: all.
    config.limit_train_examples = 0

    config.input = ConfigDict()
    # Random crops of the network's input size, and mirror images (section 4.1).
    config.input.random_crop = True
    config.input.random_flip = True
    # Batches prepared ahead of the one that is being trained on.
    config.input.prefetch_batches = 4
    # Threads that read and decode; 0: as many as the machine has cores.
    config.input.threads = 0

    config.preprocess = ConfigDict()
    # What is subtracted from the pixels: "image" (the mean image's centre crop, as the 2012 code
    # did for every crop position), "channel" (three numbers), or "none".
    config.preprocess.mean = "image"
    # Colour noise along the principal components of RGB (section 4.1): "none"; "paper" (the
    # eigenvalues of the covariance of pixels in [0, 1]); "code2012" (their square roots, and the
    # image divided by 1 + stddev afterwards, as the 2012 code did).
    config.preprocess.color_noise = "paper"
    config.preprocess.color_noise_stddev = 0.1

    config.optimizer = ConfigDict()
    # The paper's rule (section 5): v = momentum v - rate (gradient + decay w); w = w + v.
    # The decay and the rate multipliers of each layer stand in the network's table.
    config.optimizer.name = "sgd"
    config.optimizer.momentum = 0.9

    config.learning_rate = ConfigDict()
    config.learning_rate.initial = 0.01
    # "plateau" (section 5: divided by 10 when the validation error stops improving, three times),
    # "steps" (multiplied by factor after each of drop_epochs), or "constant".
    config.learning_rate.schedule = "plateau"
    config.learning_rate.factor = 0.1
    config.learning_rate.drop_epochs = ()
    # The 2012 run diary holds each rate for 20 to 30 epochs; a short patience drops far too early.
    config.learning_rate.patience_epochs = 8
    config.learning_rate.min_delta = 0.0005
    config.learning_rate.max_drops = 3
    config.learning_rate.monitor = "val_top_1_error"

    config.evaluation = ConfigDict()
    # Validation error on the centre crop after every so many epochs.
    config.evaluation.every_epochs = 1
    config.evaluation.batch_size = 128

    config.checkpoint = ConfigDict()
    # A checkpoint at the end of every epoch, and besides after so many minutes.
    config.checkpoint.every_minutes = 10.0
    # ... and after so many steps; 0: never.
    config.checkpoint.every_steps = 0
    config.checkpoint.keep = 2

    config.log = ConfigDict()
    config.log.every_steps = 20
    config.log.tensorboard = True

    return config
