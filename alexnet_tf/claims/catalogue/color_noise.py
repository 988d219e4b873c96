"""Noise along the principal components of RGB."""

from alexnet_tf.claims.budgets import LAPTOP, budgets
from alexnet_tf.claims.claim import Arm, Claim
from alexnet_tf.claims.rules import PairedDifference

# The rates of the other arms; the 2012 runs ended without noise.
NOISE_OFF = ((0.75, "rate", 0.001), (0.75, "color_noise", 0.0), (0.9, "rate", 0.0001))

CLAIM = Claim(
    name="color_noise",
    section="4.1",
    sentence="Colour noise along the principal components of RGB lowers the error",
    number="more than 1 point of top-1",
    recipe="cifar10_alexnet",
    arms=(
        Arm("code2012", {"preprocess.color_noise": "code2012"}),
        Arm("paper", {"preprocess.color_noise": "paper"}),
        Arm("popular", {"preprocess.color_noise": "popular"}),
        Arm(
            "code2012_off_at_the_end",
            {"preprocess.color_noise": "code2012"},
            diary=NOISE_OFF,
        ),
        Arm("none", {"preprocess.color_noise": "none"}),
    ),
    measure="validation_error",
    rule=PairedDifference("code2012", "none", worth=0.005),
    budgets=budgets(
        LAPTOP | {"seeds": 3},
        {"epochs": 20, "images": 12800, "seeds": 5},
    ),
    confounders=(
        "components are those of the arm's own training set",
        "CIFAR-10 is not ImageNet, and its JPEGs here were encoded anew at quality 75",
        "CIFAR-10 JPEGs carry colour at half the resolution",
    ),
    not_tested="ImageNet",
)
