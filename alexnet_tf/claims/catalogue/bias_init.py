"""Biases that begin with 1."""

from alexnet_tf.claims.budgets import budgets
from alexnet_tf.claims.claim import Arm, Claim
from alexnet_tf.claims.rules import PairedDifference

CLAIM = Claim(
    name="bias_init",
    section="5",
    sentence="Initial biases of 1 accelerate the early stages of learning",
    number="accelerates early learning, no number",
    recipe="cifar10_alexnet",
    arms=(
        Arm("ones", {"network.init_biases": (0, 1, 0, 1, 1, 1, 1, 0), "network.init_scale": 0.0}),
        Arm("zeros", {"network.init_biases": (0, 0, 0, 0, 0, 0, 0, 0), "network.init_scale": 0.0}),
        Arm("ones_scaled_weights", {"network.init_biases": (0, 1, 0, 1, 1, 1, 1, 0)}),
        Arm("zeros_scaled_weights"),
    ),
    measure="first_epoch_loss",
    rule=PairedDifference("ones", "zeros", worth=0.05, unit="nats", scale=1.0),
    budgets=budgets(
        {"epochs": 2, "images": 10000, "seeds": 3},
        {"epochs": 2, "images": 0, "seeds": 5},
    ),
    confounders=(
        "weights begin with a deviation of 0.01, as the paper's, in the two arms that decide;"
        " with scaled weights in the others",
        "the pixels are divided by 60 in all arms",
    ),
    not_tested="what the networks reach in the end",
)
