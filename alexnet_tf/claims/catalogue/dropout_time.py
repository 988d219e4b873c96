"""Dropout takes about twice as many iterations."""

from alexnet_tf.claims.catalogue import dropout
from alexnet_tf.claims.claim import Claim
from alexnet_tf.claims.rules import RatioOfTimes

CLAIM = Claim(
    name="dropout_time",
    section="4.2",
    sentence="Dropout about doubles the number of iterations that it takes to converge",
    number="roughly 2 times",
    recipe=dropout.CLAIM.recipe,
    # The same runs.
    arms=dropout.CLAIM.arms,
    measure="epochs_to_25",
    rule=RatioOfTimes("no_dropout", "dropout", claimed=2.0, worth=1.5),
    budgets=dropout.CLAIM.budgets,
    confounders=(
        "converged is taken to mean a training error of 25%, which with dropout is that of thinned "
        "networks and so higher than the whole network's",
        "at the budget laptop the training set has 500 images, of which 25% training error is a "
        "matter of memory",
        "the error is the running one of an epoch, while the weights change",
        "CIFAR-10 is not ImageNet, and its JPEGs here were encoded anew at quality 75",
    ),
    not_tested="ImageNet",
)
