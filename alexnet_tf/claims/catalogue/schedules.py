"""The plateau rule against schedules that are planned."""

from alexnet_tf.claims.budgets import LAPTOP, budgets
from alexnet_tf.claims.claim import Arm, Claim
from alexnet_tf.claims.rules import PairedDifference

# By hand, over 91 epochs (docs/fidelity.md): what had which value from which share of the run on.
DIARY_OF_RUN_145 = (
    (0.0, "*/bias", 0.02),
    (25 / 91, "rate", 0.001),
    (51 / 91, "rate", 0.0001),
    (67 / 91, "conv1*/kernel*", 0.00001),
    (67 / 91, "color_noise", 0.0),
    (72 / 91, "conv1*", 0.0),
    (79 / 91, "rate", 0.00001),
)

CLAIM = Claim(
    name="schedules",
    section="5",
    sentence=(
        "Dividing the rate by 10 when the validation error stops improving is at least as good as"
        " an automatic schedule"
    ),
    number="a heuristic, no number; the authors' later runs used four exponential steps",
    recipe="cifar10_alexnet",
    arms=(
        Arm("plateau", {"learning_rate.schedule": "plateau", "learning_rate.patience_epochs": 3}),
        Arm("linear", {"learning_rate.schedule": "polynomial"}),
        Arm(
            "four_parts",
            {"learning_rate.schedule": "step_exponential", "learning_rate.stages": 4},
        ),
        Arm("two_drops"),
        Arm("diary_of_run_145", diary=DIARY_OF_RUN_145),
    ),
    measure="validation_error",
    rule=PairedDifference("plateau", "linear", worth=0.005),
    budgets=budgets(
        LAPTOP | {"seeds": 3},
        {"epochs": 20, "images": 12800, "seeds": 5},
        changes={"evaluation.every_epochs": 1},
    ),
    confounders=(
        "the plateau rule looks at the set that is reported",
        "CIFAR-10 is not ImageNet, and its JPEGs here were encoded anew at quality 75",
    ),
    not_tested="ImageNet, for whose epochs the diary was written",
)
