"""Nearest neighbours by the last hidden layer against neighbours by pixels."""

from alexnet_tf.claims.budgets import LAPTOP, budgets
from alexnet_tf.claims.claim import Arm, Claim
from alexnet_tf.claims.rules import PairedDifference

CLAIM = Claim(
    name="neighbours",
    section="6.1, figure 4",
    sentence=(
        "Images whose last hidden layers are near one another are alike in meaning; images whose "
        "pixels are near are not"
    ),
    number="no number",
    recipe="cifar10_alexnet",
    arms=(
        Arm("by_pixels", measure="neighbours_by_pixels"),
        Arm("by_fc7", measure="neighbours_by_fc7"),
    ),
    measure="neighbours_by_fc7",
    rule=PairedDifference("by_pixels", "by_fc7", worth=0.10),
    budgets=budgets(
        LAPTOP | {"seeds": 3},
        {"epochs": 20, "images": 12800, "seeds": 5},
    ),
    confounders=(
        "alike means here: of the same of ten classes, which the network was trained to tell apart",
        "fc7 has 128 outputs here, 4,096 in the paper",
        "CIFAR-10 is not ImageNet, and its JPEGs here were encoded anew at quality 75",
    ),
    not_tested="ImageNet; likeness within a class",
)
