"""Every setting with its default: the paper's training (sections 3 to 5) on one device.

What a setting means, what it may be, and whether a resumed run may change it: docs/settings.md
(from alexnet_tf/settings). Recipes state only their differences from this file. Durations carry
their unit in the name.
"""

from ml_collections import ConfigDict, FieldReference


def get_config() -> ConfigDict:
    """The defaults; `name`, `data_dir` and `network` are what a recipe must choose."""
    config = ConfigDict()
    config.name = "default"
    config.seed = 0
    config.data_dir = ""

    # Section 5: batches of 128, "roughly 90 cycles through the training set".
    config.batch_size = 128
    config.train_epochs = 90
    config.train_steps = 0

    # A network of alexnet_tf/tables; its options follow it.
    config.network = ConfigDict({"name": "alexnet"})
    config.num_classes = 1000
    config.promised = ConfigDict({"parameters": 0, "neurons": 0})

    # Where and how to compute.
    config.distribution = "one_device"
    config.devices = ()
    config.placement = "one_device"
    config.implementation = "auto"
    config.lrn_kernel = "auto"
    config.pool_kernel = "auto"
    config.strided_convolution = "auto"
    config.precision = "auto"
    config.loss_scale = 0.0
    config.jit_compile = FieldReference("auto", field_type=object)
    config.steps_per_call = 0
    config.accumulation_steps = 1
    config.deterministic = False

    # Trials.
    config.synthetic_data = False
    config.limit_train_examples = 0

    config.initial_weights = ""
    config.initial_weights_partial = False

    # Section 4.1: crops and mirror images, drawn for every image.
    config.input = ConfigDict()
    config.input.random_crop = True
    config.input.random_flip = True
    config.input.crop_chunk = 1
    config.input.prefetch_batches = 4
    config.input.threads = 0
    config.input.cache = "auto"

    # Section 2: "subtracting the mean activity over the training set from each pixel"; section 4.1:
    # colour noise of deviation 0.1.
    config.preprocess = ConfigDict()
    config.preprocess.mean = "image"
    config.preprocess.color_noise = "paper"
    config.preprocess.color_noise_stddev = 0.1

    # Section 5. The decay stands in the network's table.
    config.optimizer = ConfigDict()
    config.optimizer.name = "sgd"
    config.optimizer.momentum = 0.9
    config.optimizer.clip_global_norm = 0.0
    # As in the experiments of arXiv:1708.03888.
    config.optimizer.trust_coefficient = 0.001
    config.optimizer.averaging = "none"
    config.optimizer.averaging_decay = 0.999
    config.optimizer.averaging_first_step = 0
    config.optimizer.averaging_every_steps = 100

    # Section 5: 0.01, divided by 10 "when the validation error rate stopped improving", three
    # times.
    config.learning_rate = ConfigDict()
    config.learning_rate.initial = 0.01
    config.learning_rate.scaling = "none"
    config.learning_rate.reference_batch_size = 128
    config.learning_rate.warmup_steps = 0
    config.learning_rate.warmup_epochs = 0.0
    config.learning_rate.schedule = "plateau"
    config.learning_rate.factor = 0.1
    config.learning_rate.drop_epochs = ()
    # The 2012 run diary holds each rate for 20 to 30 epochs; a short patience drops far too early.
    config.learning_rate.patience_epochs = 8
    config.learning_rate.min_delta = 0.0005
    config.learning_rate.max_drops = 3
    config.learning_rate.monitor = "val_top_1_error"
    # The values of the 2012 code's later runs, `dexp[tgtFactor=250, numSteps=4]`.
    config.learning_rate.target_factor = 250.0
    config.learning_rate.stages = 4
    config.learning_rate.end = 0.0
    config.learning_rate.power = 1.0
    # Run 145, the paper's network, which trained for 91 epochs (its diary, and
    # layer-params-145.cfg: the biases' rate was never reduced).
    config.learning_rate.diary = (
        (0, "*/bias", 0.02),
        (25, "rate", 0.001),
        (51, "rate", 0.0001),
        (67, "conv1*/kernel*", 0.00001),
        (67, "color_noise", 0.0),
        (72, "conv1*", 0.0),
        (79, "rate", 0.00001),
    )

    config.evaluation = ConfigDict()
    config.evaluation.every_epochs = 1
    config.evaluation.batch_size = 128

    config.checkpoint = ConfigDict()
    config.checkpoint.every_minutes = 10.0
    config.checkpoint.every_steps = 0
    config.checkpoint.keep = 2

    config.log = ConfigDict()
    config.log.every_steps = 20
    config.log.tensorboard = True
    config.log.histograms_every_epochs = 0
    config.log.profile_steps = ()
    config.log.report = True
    config.log.expected = ""

    return config
