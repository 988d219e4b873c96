"""Leaving out a middle layer."""

from alexnet_tf.claims.budgets import LAPTOP, budgets
from alexnet_tf.claims.claim import Arm, Claim
from alexnet_tf.claims.rules import PairedDifference

CLAIM = Claim(
    name="depth",
    section="7",
    sentence="Leaving out any of the middle layers loses about 2 points of top-1 error",
    number="about 2 points of top-1",
    recipe="cifar10_alexnet",
    arms=(
        Arm("whole"),
        Arm("without_conv4", {"network.leave_out": ("conv4",)}),
        Arm("without_conv3", {"network.leave_out": ("conv3",)}),
        Arm("without_conv2", {"network.leave_out": ("conv2",)}),
    ),
    measure="validation_error",
    rule=PairedDifference("whole", "without_conv4", worth=0.01),
    budgets=budgets(
        LAPTOP | {"seeds": 3},
        {"epochs": 20, "images": 12800, "seeds": 5},
    ),
    confounders=(
        "the verdict is of conv4; the other arms are reported beside it",
        "an arm without a layer also has fewer parameters",
        "CIFAR-10 is not ImageNet, and its JPEGs here were encoded anew at quality 75",
    ),
    not_tested="ImageNet",
)
