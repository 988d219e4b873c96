"""Overlapping pooling against windows side by side, at equal map sizes."""

from alexnet_tf.claims.budgets import LAPTOP, budgets
from alexnet_tf.claims.claim import Arm, Claim
from alexnet_tf.claims.rules import PairedDifference

CLAIM = Claim(
    name="overlap",
    section="3.4",
    sentence=(
        "Pooling windows of 3 with stride 2 give a lower error than windows of 2 with stride 2"
    ),
    number="0.4 / 0.3 points",
    recipe="cifar10_alexnet",
    arms=(
        Arm("overlapping"),
        Arm("side_by_side", {"network.pool_size": 2}),
    ),
    measure="validation_error",
    rule=PairedDifference("overlapping", "side_by_side", worth=0.004),
    budgets=budgets(
        LAPTOP | {"seeds": 3},
        {"epochs": 20, "images": 12800, "seeds": 10},
    ),
    confounders=(
        "windows at the end of a map are clipped (ceil), so both arms have maps of equal size",
        "CIFAR-10 is not ImageNet, and its JPEGs here were encoded anew at quality 75",
    ),
    not_tested="ImageNet",
)
