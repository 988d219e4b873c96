"""One column's kernels are about colour, the other's are not, in every run."""

from alexnet_tf.claims.budgets import LAPTOP, budgets
from alexnet_tf.claims.claim import Arm, Claim
from alexnet_tf.claims.rules import AgainstReference

CLAIM = Claim(
    name="specialisation",
    section="6.1, figure 3",
    sentence=(
        "The kernels of one column become colour-agnostic and those of the other colour-specific,"
        " in every run"
    ),
    number="every run, no number",
    recipe="cifar10_alexnet",
    arms=(Arm("two_columns"),),
    measure="color_gap",
    rule=AgainstReference("two_columns", reference=0.798, worth=1.0, unit="deviations"),
    budgets=budgets(
        LAPTOP | {"seeds": 3},
        {"epochs": 20, "images": 12800, "seeds": 5},
    ),
    confounders=("kernels of 5x5 on 28 pixels are not those of 11x11 on 224",),
    not_tested="ImageNet",
)
