"""Biases that begin with 1, at three scales of pixels and initial weights."""

from alexnet_tf.claims.budgets import budgets
from alexnet_tf.claims.claim import Arm, Claim
from alexnet_tf.claims.rules import PairedDifference

ONES = {"network.init_biases": (0, 1, 0, 1, 1, 1, 1, 0)}
# Each layer's gain (deviation times the root of a unit's inputs) is that of the paper's 0.01 in its
# own, wider layers; the pixels are those of the paper, -127 to 128 or so.
PAPER_GAIN = {
    "network.init_scale": 0.0,
    "network.init_stddevs": (0.022, 0.017, 0.028, 0.024, 0.024, 0.057, 0.057, 0.057),
    "network.input_scale": 1.0,
}
SMALL_PIXELS = PAPER_GAIN | {"network.input_scale": 1 / 255}

CLAIM = Claim(
    name="bias_init",
    section="5",
    sentence="Initial biases of 1 accelerate the early stages of learning",
    number="accelerates early learning, no number",
    recipe="cifar10_alexnet",
    arms=(
        Arm("ones", PAPER_GAIN | ONES),
        Arm("zeros", PAPER_GAIN),
        Arm("ones_small_pixels", SMALL_PIXELS | ONES),
        Arm("zeros_small_pixels", SMALL_PIXELS),
        Arm("ones_scaled_weights", ONES),
        Arm("zeros_scaled_weights"),
    ),
    measure="mean_loss",
    # A network that says the same of every image has the loss ln 10 = 2.303.
    rule=PairedDifference("ones", "zeros", worth=0.05, unit="nats", scale=1.0, learned_below=2.28),
    budgets=budgets(
        {"epochs": 2, "images": 5000, "seeds": 3},
        {"epochs": 2, "images": 0, "seeds": 5},
        changes={"learning_rate.schedule": "constant"},
    ),
    confounders=(
        "that an arm must learn at all was added to the rule when the first rows at the budget "
        "laptop showed that neither did in 80 updates",
        "layers here are narrower than the paper's, so their weights begin larger, with the "
        "paper's gain per layer",
        "the other arms, of pixels divided by 255 and of weights scaled to keep the signal's size, "
        "are reported and do not decide",
        "CIFAR-10 is not ImageNet, and its JPEGs here were encoded anew at quality 75",
    ),
    not_tested="what the networks reach in the end",
)
