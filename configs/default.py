"""Every setting with its default: the paper's training (sections 3 to 5) on one device.

Recipes state only their differences from this file. Durations carry their unit in the name.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """The defaults; `name`, `data_dir` and `network` are what a recipe must choose."""
    config = ConfigDict()
    config.name = "default"
    # All randomness (initial weights, order, crops, flips, colour noise, dropout and the like)
    # comes from this.
    config.seed = 0
    # The folder that data_prep.build_tfrecords wrote.
    config.data_dir = ""
    # Examples per update, over all replicas and machines (section 5: 128).
    config.batch_size = 128
    # Section 5: "roughly 90 cycles through the training set".
    config.train_epochs = 90
    # Stop earlier, after so many updates; 0: train_epochs decides.
    config.train_steps = 0

    # network.name is a recipe in alexnet_tf/tables; its options follow it (--print_network).
    config.network = ConfigDict({"name": "alexnet"})
    # Classes for --print_network without a dataset; training takes them from the dataset.
    config.num_classes = 1000
    # What the network must count with so many classes, checked before training; 0: not said.
    config.promised = ConfigDict({"parameters": 0, "neurons": 0})

    # Where to compute: "one_device", "mirrored" (all GPUs of this machine) or "multi_worker"
    # (machines named by TF_CONFIG); `devices` picks some, such as ("GPU:0", "GPU:1").
    config.distribution = "one_device"
    config.devices = ()
    # Where the network's columns lie: "one_device", or "two_devices" for column i on device i, as
    # on the two GPUs of 2012.
    config.placement = "one_device"
    # Columns as "towers", or merged into native "grouped" convolutions (much slower on CPUs).
    config.implementation = "towers"
    # Normalisation across maps by TensorFlow's own operation ("tf"), that with a faster gradient
    # ("tf_fast_gradient"), or as a product with a banded matrix ("banded", equal to 3e-7).
    config.lrn_kernel = "tf"
    # "float32", "mixed_bfloat16", or "mixed_float16" with a scaled loss.
    config.precision = "float32"
    # mixed_float16: the factor on the loss; 0: dynamic (it begins at 32768; an update whose
    # gradient is not finite is left out and halves it, 2000 finite ones in a row double it). With a
    # fixed one a gradient that is not finite ends the run, as in the other precisions.
    config.loss_scale = 0.0
    # Compile the update with XLA (on CPUs it is slower).
    config.jit_compile = False
    # Updates inside one compiled call: less overhead for small networks.
    config.steps_per_call = 1
    # Parts in which a batch is computed one after another: the same update in less memory.
    config.accumulation_steps = 1
    # Only operations whose results do not depend on timing, also on GPUs (slower there).
    config.deterministic = False
    # Random pixels instead of a dataset, for benchmarks and for trying a cluster: 1281 images per
    # class, as ImageNet has, or limit_train_examples in all.
    config.synthetic_data = False
    # Train on the first so many examples only, for trials; 0: all.
    config.limit_train_examples = 0

    # Weights to begin with instead of drawn ones: a .npz file of ours, a work folder, a PyTorch
    # state dict of torchvision's alexnet (for alexnet_owt), or Caffe's bvlc_alexnet as .npy or .npz
    # (for alexnet_caffe). Not read again when the run resumes from a checkpoint.
    config.initial_weights = ""
    # Take from it what fits in name and shape, and draw the rest: for other classes, say.
    config.initial_weights_partial = False

    config.input = ConfigDict()
    # Random crops of the network's input size, and mirror images (section 4.1).
    config.input.random_crop = True
    config.input.random_flip = True
    # So many consecutive images of an epoch share one crop offset and one flip; 1: each has its
    # own, as in the paper. The 2012 code drew them for 32 at a time.
    config.input.crop_chunk = 1
    # Batches prepared ahead of the one that is being trained on.
    config.input.prefetch_batches = 4
    # Threads that read and decode; 0: as many as the machine has cores.
    config.input.threads = 0

    config.preprocess = ConfigDict()
    # What is subtracted from the pixels: "image" (the mean image's centre crop, as the 2012 code
    # did for every crop position), "channel" (three numbers), "none", or, whatever the dataset, the
    # three numbers that go with another program's weights: "torchvision" or "caffe".
    config.preprocess.mean = "image"
    # Colour noise along the principal components of RGB (section 4.1): "none"; "paper" (the
    # eigenvalues of the covariance of pixels in [0, 1]); "code2012" (their square roots, and the
    # image divided by 1 + stddev afterwards, as the 2012 code did).
    config.preprocess.color_noise = "paper"
    config.preprocess.color_noise_stddev = 0.1

    config.optimizer = ConfigDict()
    # The paper's rule (section 5): v = momentum v - rate (gradient + decay w); w = w + v.
    # The decay and the rate multipliers of each layer stand in the network's table.
    # Others differ from it, and say by how much when a run starts: "lars" (You et al. 2017, for
    # large batches), "sgd_decoupled" (Keras' weight_decay), "sgdw" (tensorflow-addons only).
    config.optimizer.name = "sgd"
    config.optimizer.momentum = 0.9
    # Upper limit of the l2 norm of all gradients together, summed over the replicas; 0: none.
    config.optimizer.clip_global_norm = 0.0
    # "lars": each kernel's own rate is trust * |w| / (|g| + decay |w|) (arXiv:1708.03888).
    config.optimizer.trust_coefficient = 0.001
    # Evaluate averaged weights: "none", "moving_average" or "swa" (tensorflow-addons, one device).
    config.optimizer.averaging = "none"
    config.optimizer.averaging_decay = 0.999
    config.optimizer.averaging_first_step = 0
    config.optimizer.averaging_every_steps = 100

    config.learning_rate = ConfigDict()
    config.learning_rate.initial = 0.01
    # How initial grows with the batch: "none", "linear" (Goyal et al. 2017: times batch_size /
    # reference_batch_size) or "square_root" (Krizhevsky 2014: times its root).
    config.learning_rate.scaling = "none"
    config.learning_rate.reference_batch_size = 128
    # Linear rise to the schedule's rate over the first updates, in steps or in epochs; 0: none.
    config.learning_rate.warmup_steps = 0
    config.learning_rate.warmup_epochs = 0.0
    # "plateau" (section 5: divided by 10 when the validation error stops improving, three times),
    # "steps" (multiplied by factor after each of drop_epochs), "constant", "diary" (by hand, as in
    # 2012), or stretched over the run: "step_exponential", "exponential", "polynomial", "cosine".
    config.learning_rate.schedule = "plateau"
    config.learning_rate.factor = 0.1
    config.learning_rate.drop_epochs = ()
    # The 2012 run diary holds each rate for 20 to 30 epochs; a short patience drops far too early.
    config.learning_rate.patience_epochs = 8
    config.learning_rate.min_delta = 0.0005
    config.learning_rate.max_drops = 3
    config.learning_rate.monitor = "val_top_1_error"
    # (step_)exponential: the run ends at initial / target_factor, in so many stages (the values of
    # the 2012 code's later runs, `dexp[tgtFactor=250, numSteps=4]`).
    config.learning_rate.target_factor = 250.0
    config.learning_rate.stages = 4
    # polynomial, cosine: the rate at the end; polynomial falls as (1 - t)^power.
    config.learning_rate.end = 0.0
    config.learning_rate.power = 1.0
    # diary: (epochs done, "rate" or "color_noise" or a pattern of variables, its value from then
    # on); this one is run 145's, the paper's network, which trained for 91 epochs (its diary, and
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
    # Histograms of all weights for TensorBoard, after every so many epochs; 0: never.
    config.log.histograms_every_epochs = 0
    # The first and the last step, such as (100, 110), to record for TensorBoard's profiler.
    config.log.profile_steps = ()
    # The result that the recipe should reach, in words: printed beside the run's own at the end.
    config.log.expected = ""

    return config
