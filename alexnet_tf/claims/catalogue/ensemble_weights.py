"""Weights of an ensemble, fitted on the images that it is scored on."""

from alexnet_tf.claims.budgets import LAPTOP, budgets
from alexnet_tf.claims.claim import Arm, Claim
from alexnet_tf.claims.rules import PairedDifference

CLAIM = Claim(
    name="ensemble_weights",
    section="6; code of 2012",
    sentence="Fitting an ensemble's weights on the images that it is scored on flatters its error",
    number="no number; the 2012 code has such a search, the paper does not say it was used",
    recipe="cifar10_alexnet",
    arms=(
        Arm("fitted_here", measure="error_fitted_here", members=5),
        Arm("fitted_elsewhere", measure="error_fitted_elsewhere", members=5),
    ),
    measure="error_fitted_here",
    rule=PairedDifference("fitted_here", "fitted_elsewhere", worth=0.002),
    budgets=budgets(
        LAPTOP | {"seeds": 2},
        {"epochs": 20, "images": 12800, "seeds": 3},
    ),
    confounders=("five networks alike but for their seed, on halves of 5,000 images",),
    not_tested="whether the published numbers had it",
)
