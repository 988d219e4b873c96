"""The paper's recipe against a published run of AlexNet on Tiny ImageNet."""

from alexnet_tf.claims.budgets import budgets
from alexnet_tf.claims.claim import Arm, Claim
from alexnet_tf.claims.rules import AgainstReference

PUBLISHED = 0.3175

CLAIM = Claim(
    name="tiny_imagenet",
    section="not the paper's",
    sentence=(
        "The paper's recipe does better on Tiny ImageNet than a published run of AlexNet from "
        "scratch with the same batch, momentum, decay, rate and about 30 epochs"
    ),
    number="31.75% top-1 accuracy",
    recipe="tiny_imagenet",
    arms=(Arm("paper"),),
    measure="accuracy",
    rule=AgainstReference("paper", reference=PUBLISHED, worth=0.01, unit="points", scale=100.0),
    budgets=budgets(
        {"epochs": 30, "images": 0, "seeds": 2},
        {"epochs": 30, "images": 0, "seeds": 2},
        changes={"learning_rate.schedule": "step_exponential"},
    ),
    confounders=(
        "conv1 has 7x7 filters with stride 2, for images of 64 pixels; the published run's network "
        "may have others",
    ),
    images="Tiny ImageNet at 64x64",
    not_tested="ImageNet",
)
