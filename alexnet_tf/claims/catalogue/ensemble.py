"""Five networks against one."""

from alexnet_tf.claims.budgets import LAPTOP, budgets
from alexnet_tf.claims.claim import Arm, Claim
from alexnet_tf.claims.rules import PairedDifference

CLAIM = Claim(
    name="ensemble",
    section="6",
    sentence="The mean of the probabilities of five networks has a lower error than one network",
    number="40.7 / 18.2 -> 38.1 / 16.4",
    recipe="cifar10_alexnet",
    arms=(
        Arm("five", measure="error_1_view", members=5),
        Arm("single", measure="mean_error_of_members", members=5),
    ),
    measure="error_1_view",
    rule=PairedDifference("five", "single", worth=0.01),
    budgets=budgets(
        LAPTOP | {"seeds": 2},
        {"epochs": 20, "images": 12800, "seeds": 3},
    ),
    confounders=("members differ in their seed only",),
    not_tested="weights fitted on the test set, which the published number may have had",
)
