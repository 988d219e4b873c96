"""Pretraining on other classes, then fine-tuning."""

from alexnet_tf.claims.budgets import budgets
from alexnet_tf.claims.claim import Arm, Claim
from alexnet_tf.claims.rules import PairedDifference

CLAIM = Claim(
    name="pretraining",
    section="6",
    sentence="A network that was trained on other classes before, and is fine-tuned, errs less",
    number="18.2 -> 16.6 top-5 (ImageNet 2011, then 2012)",
    recipe="cifar10_alexnet",
    arms=(
        Arm("scratch"),
        Arm(
            "pretrained",
            pretrained={
                "limit_train_examples": 0,
                "train_epochs": 8,
                "learning_rate.drop_epochs": (6, 7),
            },
        ),
    ),
    measure="validation_error",
    rule=PairedDifference("pretrained", "scratch", worth=0.016),
    budgets=budgets(
        {"epochs": 40, "images": 1280, "seeds": 3},
        {"epochs": 40, "images": 1280, "seeds": 5},
    ),
    confounders=(
        "the last layer too begins with the weights of the other classes, which are as many",
        "the mechanism alone: five classes of CIFAR-10 after the five others, with few images of "
        "the former",
        "CIFAR-10 is not ImageNet, and its JPEGs here were encoded anew at quality 75",
    ),
    images="five classes of CIFAR-10 at 32x32, and the five others in --pretraining_data_dir",
    not_tested="ImageNet; a sixth convolution",
)
