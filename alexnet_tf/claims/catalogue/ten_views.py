"""Ten views against one, on the same checkpoint."""

from alexnet_tf.claims.budgets import LAPTOP, budgets
from alexnet_tf.claims.claim import Arm, Claim
from alexnet_tf.claims.rules import PairedDifference

CLAIM = Claim(
    name="ten_views",
    section="4.1",
    sentence="Averaging over ten views gives a lower error than the centre view",
    number="39.0 / 18.3 -> 37.5 / 17.0",
    recipe="cifar10_alexnet",
    arms=(
        Arm("ten_views", measure="error_10_views"),
        Arm("one_view", measure="error_1_view"),
    ),
    measure="error_1_view",
    rule=PairedDifference("ten_views", "one_view", worth=0.003),
    budgets=budgets(
        LAPTOP | {"seeds": 3},
        {"epochs": 20, "images": 12800, "seeds": 5},
    ),
    confounders=("offsets are 0, 2 and 4 of 32 pixels, not 0, 16 and 32 of 256",),
    not_tested="ImageNet",
)
