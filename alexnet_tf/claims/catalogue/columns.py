"""Two columns that meet in conv3 against columns that never meet."""

from alexnet_tf.claims.budgets import LAPTOP, budgets
from alexnet_tf.claims.claim import Arm, Claim
from alexnet_tf.claims.rules import PairedDifference

CLAIM = Claim(
    name="columns",
    section="3.2",
    sentence="Columns that read each other in conv3 do better than columns that never communicate",
    number=(
        "+1.16 / +1.12 points for run 150 of the authors' diary; 1.7 / 1.2 against one column of "
        "half the width"
    ),
    recipe="cifar10_alexnet",
    arms=(
        Arm("meeting"),
        Arm("apart", {"network.all_column_convs": (), "network.all_column_fcs": False}),
        Arm("ungrouped", {"network.columns": 1}),
        Arm("one_narrow_column", {"network.columns": 1, "network.filters": (16, 16, 32, 32, 32)}),
    ),
    measure="validation_error",
    rule=PairedDifference("meeting", "apart", worth=0.005),
    budgets=budgets(
        LAPTOP | {"seeds": 3},
        {"epochs": 20, "images": 12800, "seeds": 5},
    ),
    confounders=(
        "arms differ in their number of parameters, which the ledger prints by recipe",
        "CIFAR-10 is not ImageNet, and its JPEGs here were encoded anew at quality 75",
    ),
    not_tested="the time that two GPUs save",
)
