"""The paper's own numbers, which need ImageNet: what to type, and what it would cost.

The cost is by the speed that a whole run of `alexnet_code2012` had on one NVIDIA H200 on
2026-11-26, 5,840 images/s from 256x256 JPEG records: 90 epochs of 1,281,167 images in 5.5 hours.
"""

from __future__ import annotations

from alexnet_tf.claims.claim import Unreachable

_CONVERT = (
    "python -m data_prep.build_tfrecords --train=ILSVRC2012_img_train.tar "
    "--validation=ILSVRC2012_img_val.tar --output_dir=imagenet_256"
)
_HOURS = 90 * 1_281_167 / 5_840 / 3_600


def _train(recipe: str, workdir: str, *more: str) -> str:
    words = [
        f"python -m alexnet_tf.train --config=configs/{recipe}.py",
        "--config.data_dir=imagenet_256",
        *more,
        f"--workdir=runs/{workdir}",
    ]
    return " ".join(words)


def _evaluate(*workdirs: str) -> str:
    names = ",".join(f"runs/{workdir}" for workdir in workdirs)
    return f"python -m alexnet_tf.evaluate --workdir={names} --views=10"


def _cost(runs: float, more: str = "") -> str:
    return f"about {runs * _HOURS:.0f} hours on one H200{more}"


_FIVE = tuple(f"code2012_{seed}" for seed in range(5))
_NEEDS_FALL_2011 = "; and the Fall 2011 release of ImageNet (15 million images), not converted here"

NUMBERS = (
    Unreachable(
        "imagenet_2010",
        "table 1",
        "One network on the ILSVRC-2010 test set",
        "37.5 / 17.0",
        (
            "python -m data_prep.build_tfrecords --train=ILSVRC2010_train "
            "--validation=ILSVRC2010_test --output_dir=imagenet_2010",
            _train("alexnet_code2012", "code2012_2010").replace("imagenet_256", "imagenet_2010"),
            _evaluate("code2012_2010"),
        ),
        _cost(1),
    ),
    Unreachable(
        "imagenet_one",
        "table 2",
        "One network on the ILSVRC-2012 validation set",
        "40.7 / 18.2",
        (_CONVERT, _train("alexnet_code2012", "code2012_0"), _evaluate("code2012_0")),
        _cost(1),
    ),
    Unreachable(
        "imagenet_five",
        "table 2",
        "The mean of five networks",
        "38.1 / 16.4",
        (
            _CONVERT,
            *(
                _train("alexnet_code2012", name, f"--config.seed={seed}")
                for seed, name in enumerate(_FIVE)
            ),
            _evaluate(*_FIVE),
        ),
        _cost(5),
    ),
    Unreachable(
        "imagenet_pretrained",
        "table 2",
        "One network with a sixth convolution, pretrained on the Fall 2011 release (1 CNN*)",
        "39.0 / 16.6",
        (
            "python -m data_prep.build_tfrecords --train=fall11_whole --output_dir=fall_2011",
            _train("alexnet_6conv", "fall_2011", "--config.train_epochs=8").replace(
                "imagenet_256", "fall_2011"
            ),
            _CONVERT,
            _train(
                "alexnet_6conv",
                "fine_tuned",
                "--config.initial_weights=runs/fall_2011",
                "--config.initial_weights_partial=true",
                "--config.train_epochs=54",
            ),
            _evaluate("fine_tuned"),
        ),
        _cost(1.7, _NEEDS_FALL_2011),
    ),
    Unreachable(
        "imagenet_seven",
        "table 2",
        "The mean of two pretrained networks and the five (7 CNNs*)",
        "36.7 / 15.4",
        (
            "the commands of imagenet_five, and those of imagenet_pretrained with two seeds",
            _evaluate(*_FIVE, "fine_tuned_0", "fine_tuned_1"),
        ),
        _cost(8.4, _NEEDS_FALL_2011),
    ),
    Unreachable(
        "imagenet_2009",
        "6, Fall 2009 release",
        "10,184 classes, half of 8.9 million images for training",
        "67.4 / 40.9",
        (
            "python -m data_prep.build_tfrecords --train=fall09/train "
            "--validation=fall09/test --output_dir=fall_2009",
            _train("alexnet_6conv", "fall_2009").replace("imagenet_256", "fall_2009"),
            _evaluate("fall_2009"),
        ),
        _cost(3.5, "; and the Fall 2009 release of ImageNet"),
    ),
)
"""In the order of the paper's tables."""
