"""Without dropout the network overfits."""

from alexnet_tf.claims.budgets import LAPTOP, budgets
from alexnet_tf.claims.claim import Arm, Claim
from alexnet_tf.claims.rules import PairedDifference

CLAIM = Claim(
    name="dropout",
    section="4.2",
    sentence=("Dropout reduces overfitting, which is substantial without it"),
    number="substantial overfitting, no number",
    recipe="cifar10_alexnet",
    arms=(
        Arm("dropout"),
        Arm("no_dropout", {"network.dropout_after": ()}),
    ),
    measure="gap",
    rule=PairedDifference("dropout", "no_dropout", worth=0.02),
    budgets=budgets(
        LAPTOP | {"seeds": 3},
        {"epochs": 20, "images": 12800, "seeds": 5},
    ),
    confounders=(
        "with dropout the training error is that of thinned networks, which alone narrows the gap",
        "the size of the budget laptop was chosen for claims about overfitting, after a pair of "
        "runs of more images had not overfitted",
        "CIFAR-10 is not ImageNet, and its JPEGs here were encoded anew at quality 75",
    ),
    not_tested="the number of iterations, a claim of its own (dropout_time)",
)
