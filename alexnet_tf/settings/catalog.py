"""Every setting that configs/default.py has, section by section, in the same order.

Options of the network (`network.*`) are listed with the networks, in alexnet_tf/tables.
"""

from __future__ import annotations

from alexnet_tf.settings.input_settings import INPUT, PREPROCESS
from alexnet_tf.settings.learning_settings import LEARNING_RATE, OPTIMIZER
from alexnet_tf.settings.setting import (
    AUTO,
    Form,
    Resume,
    Setting,
    device_names,
    first_and_last_step,
)

FREE, ROUNDING = Resume.FREE, Resume.ROUNDING

_TOP = (
    Setting("name", "Of the recipe: the first line of a run's log."),
    Setting(
        "seed",
        "All randomness comes from it: initial weights, order, crops, flips, colour noise, dropout "
        "and the like.",
        least=0,
    ),
    Setting(
        "data_dir",
        "The dataset: a folder that `python -m data_prep.build_tfrecords` wrote. It may have moved "
        "when a run resumes, not changed.",
        FREE,
    ),
    Setting("batch_size", "Examples per update, over all replicas and machines.", least=1),
    Setting(
        "train_epochs",
        "Length of the run in passes over the training set. A schedule that is stretched over the "
        "run does not let it change.",
        FREE,
        least=0,
    ),
    Setting(
        "train_steps",
        "Length of the run in updates, instead of `train_epochs`.",
        FREE,
        least=0,
        zero="train_epochs decides",
    ),
    Setting(
        "num_classes",
        "Outputs of the last layer for `--print_network` and `synthetic_data`; otherwise the "
        "dataset has the number.",
        least=0,
        zero="as many as the network's definition file",
    ),
    Setting(
        "promised.parameters",
        "What the network must count with `num_classes` classes; `--check` and the start of a run "
        "compare.",
        FREE,
        least=0,
        zero="not said",
    ),
    Setting(
        "promised.neurons",
        "Activations of one image that the network must count, likewise.",
        FREE,
        least=0,
        zero="not said",
    ),
    Setting(
        "distribution",
        "Where to compute.",
        ROUNDING,
        choices={
            "one_device": "the first GPU, else the CPU, or the one in `devices`",
            "mirrored": "all GPUs of this machine, or those in `devices`",
            "multi_worker": "the machines named by `TF_CONFIG` or by Slurm's variables",
        },
    ),
    Setting(
        "devices",
        "Some devices instead of all; `('CPU:0', 'CPU:1')` splits the CPU, for trials.",
        ROUNDING,
        form=Form("names, each once, such as ('GPU:0', 'GPU:1')", device_names),
    ),
    Setting(
        "placement",
        "Where the network's columns lie.",
        ROUNDING,
        choices={
            "one_device": "together",
            "two_devices": "column i on device i, forwards, backwards and update, as on the two "
            "GPUs of 2012",
        },
    ),
    Setting(
        "implementation",
        "How the columns are computed; the checkpoints are the same.",
        ROUNDING,
        choices={
            "auto": AUTO,
            "towers": "one convolution per column",
            "joint": "columns merged into one layer where they are alike, groups computed one by "
            "one (equal up to rounding)",
            "grouped": "the same with native grouped convolutions (much slower on CPUs)",
        },
    ),
    Setting(
        "lrn_kernel",
        "How normalisation across maps is computed.",
        ROUNDING,
        choices={
            "auto": AUTO,
            "tf": "TensorFlow's own operation",
            "tf_fast_gradient": "the same with a faster gradient",
            "banded": "as a product with a banded matrix (equal to 3e-7)",
            "shifted": "as sums of shifted channels, one pass each way under XLA (equal to 3e-7)",
        },
    ),
    Setting(
        "pool_kernel",
        "How max pooling is computed.",
        ROUNDING,
        choices={
            "auto": AUTO,
            "tf": "TensorFlow's own operation",
            "shifted": "as maxima of shifted images, whose gradient needs no scatter under XLA "
            "(the same values; gradients equal to 1e-6)",
        },
    ),
    Setting(
        "strided_convolution",
        "How convolutions of images with a stride above 1 are computed: the paper's conv1.",
        ROUNDING,
        choices={
            "auto": AUTO,
            "direct": "TensorFlow's own operation",
            "space_to_depth": "blocks of stride x stride pixels become channels: 11x11 of 3 "
            "channels with stride 4 is 3x3 of 48 with stride 1, for tensor cores (equal to 1e-5)",
        },
    ),
    Setting(
        "precision",
        "Of activations and gradients; weights and normalisation are float32 always.",
        choices={
            "auto": AUTO,
            "float32": "32 bits; on GPUs products are rounded to TF32 (10 bits of fraction)",
            "float32_exact": "32 bits, products too",
            "mixed_bfloat16": "16 bits with the range of float32",
            "mixed_float16": "16 bits, with a scaled loss",
        },
    ),
    Setting(
        "loss_scale",
        "`mixed_float16`: the factor on the loss. A dynamic one begins at 32768; an update whose "
        "gradient is not finite is left out and halves it, 2000 finite ones in a row double it. "
        "With a fixed one a non-finite gradient ends the run, as in the other precisions.",
        # Divided out again before the update.
        FREE,
        least=0,
        zero="dynamic",
    ),
    Setting(
        "jit_compile",
        "Compile the update with XLA; with several replicas, what each computes before their "
        "gradients are summed; with columns on two devices, what each computes between two "
        "exchanges.",
        ROUNDING,
        choices={"auto": AUTO, True: "compile", False: "run TensorFlow's own kernels"},
    ),
    Setting(
        "steps_per_call",
        "Updates inside one compiled call: less overhead for small networks. On several replicas "
        "they are made one by one.",
        ROUNDING,
        least=0,
        zero="chosen when the run begins, by how much a step computes",
    ),
    Setting(
        "accumulation_steps",
        "Parts in which a batch is computed one after another: the same update in less memory. "
        "Must divide each replica's batch.",
        ROUNDING,
        least=1,
    ),
    Setting(
        "deterministic",
        "Only operations whose results do not depend on timing, also on GPUs (slower there).",
        ROUNDING,
    ),
    Setting(
        "synthetic_data",
        "Random pixels instead of a dataset, for benchmarks and for trying a cluster: 1281 images "
        "per class, as ImageNet has, or `limit_train_examples` in all.",
    ),
    Setting(
        "limit_train_examples",
        "Train on the first so many examples only, for trials.",
        least=0,
        zero="all",
    ),
    Setting(
        "initial_weights",
        "Weights to begin with instead of drawn ones: a .npz file of ours, a work folder, a "
        "PyTorch state dict of torchvision's alexnet (for `alexnet_owt`), or Caffe's bvlc_alexnet "
        "as .npy or .npz (for `alexnet_caffe`). Not read again when the run resumes.",
    ),
    Setting(
        "initial_weights_partial",
        "Take from it what fits in name and shape, and draw the rest: for other classes, say.",
    ),
)

_WATCHING = (
    Setting(
        "evaluation.every_epochs",
        "Epochs between two validations (the centre view of every image).",
        least=1,
    ),
    Setting("evaluation.batch_size", "Images per step of a validation.", least=1),
    Setting(
        "checkpoint.every_minutes",
        "Minutes between checkpoints, besides the end of every epoch.",
        FREE,
        least=0,
        zero="never",
    ),
    Setting("checkpoint.every_steps", "Likewise in updates.", FREE, least=0, zero="never"),
    Setting(
        "checkpoint.keep", "Newest checkpoints that are kept, besides the best.", FREE, least=1
    ),
    Setting("log.every_steps", "Updates between two lines of `metrics.jsonl`.", FREE, least=1),
    Setting("log.tensorboard", "Write event files for TensorBoard.", FREE),
    Setting(
        "log.histograms_every_epochs",
        "Histograms of all weights for TensorBoard, after every so many epochs.",
        FREE,
        least=0,
        zero="never",
    ),
    Setting(
        "log.profile_steps",
        "The updates that TensorBoard's profiler records.",
        FREE,
        form=Form("the first and the last step to record, such as (100, 110)", first_and_last_step),
    ),
    Setting(
        "log.report",
        "Make `report.html` when training has ended; the best checkpoint is evaluated for it.",
        FREE,
    ),
    Setting(
        "log.expected",
        "The result that the recipe should reach, in words: printed beside the run's own at the "
        "end.",
        FREE,
    ),
)

SETTINGS: dict[str, Setting] = {
    setting.key: setting
    for section in (_TOP, INPUT, PREPROCESS, OPTIMIZER, LEARNING_RATE, _WATCHING)
    for setting in section
}
"""By key, in the order of configs/default.py."""


def meaning_of(key: str, choice: str) -> str:
    """What a choice of a setting means, in words."""
    return SETTINGS[key].choices[choice]


def resume_of(key: str) -> Resume:
    """Whether a run may go on with another value of `key`; options of the network never."""
    setting = SETTINGS.get(key)
    return setting.resume if setting else Resume.REFUSED
