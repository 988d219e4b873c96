"""Weight decay lowers the training error."""

from alexnet_tf.claims.budgets import LAPTOP, budgets
from alexnet_tf.claims.claim import Arm, Claim
from alexnet_tf.claims.rules import PairedDifference

CLAIM = Claim(
    name="weight_decay",
    section="5",
    sentence="A weight decay of 0.0005 lowers the error on the training set itself",
    number="important for the model to learn, no number",
    recipe="cifar10_alexnet",
    arms=(
        Arm("decay_5e-4", {"network.weight_decay": 0.0005}),
        Arm("none", {"network.weight_decay": 0.0}),
        Arm("decay_5e-5", {"network.weight_decay": 0.00005}),
        Arm("decay_5e-3", {"network.weight_decay": 0.005}),
        Arm(
            "decoupled_5e-4",
            {"network.weight_decay": 0.0005, "optimizer.name": "sgd_decoupled"},
        ),
    ),
    measure="training_loss",
    rule=PairedDifference("decay_5e-4", "none", worth=0.02, unit="nats", scale=1.0),
    budgets=budgets(
        LAPTOP | {"seeds": 3},
        {"epochs": 20, "images": 12800, "seeds": 5},
    ),
    confounders=(
        "the loss is the data term alone",
        "the paper's networks had 61 million parameters",
        "CIFAR-10 is not ImageNet, and its JPEGs here were encoded anew at quality 75",
    ),
    not_tested="ImageNet",
)
