"""The nets of the 2012 code's CIFAR-10 examples, each with its whole schedule."""

from alexnet_tf.claims.budgets import budgets
from alexnet_tf.claims.claim import Arm, Claim
from alexnet_tf.claims.rules import NearNumber

_CONFOUNDERS = (
    "the JPEGs here were encoded anew at quality 75, with colour at half the resolution: the "
    "author's figures are of the original images, and 1.5 points off still count as the same",
)


def _claim(
    name: str,
    error: float,
    recipe: str,
    epochs: int,
    seeds: int,
    changes: dict[str, object] | None = None,
    measure: str = "validation_error",
) -> Claim:
    length = {"epochs": epochs, "images": 0, "seeds": seeds}
    return Claim(
        name=name,
        section="3.3" if error < 0.15 else "code of 2012",
        sentence=f"The net of the 2012 code's examples reaches {error:.0%} test error on CIFAR-10",
        number=f"{error:.0%}",
        recipe=recipe,
        arms=(Arm("net"),),
        measure=measure,
        rule=NearNumber("net", number=error, margin=0.015),
        # The recipe's own drops.
        budgets=budgets(
            length, length, changes={"learning_rate.schedule": "steps", **(changes or {})}
        ),
        confounders=_CONFOUNDERS,
        not_tested="the original CIFAR-10",
    )


CLAIMS = (
    _claim("net_26", 0.26, "cifar10_quick", 10, 3),
    _claim("net_18", 0.18, "cifar10_18pct", 140, 2),
    _claim("net_13", 0.13, "cifar10_13pct", 520, 2, measure="error_10_views"),
    _claim(
        "net_11",
        0.11,
        "cifar10_13pct",
        520,
        2,
        {
            "network.lrn": True,
            "network.local_filters": (64, 32),
            "network.fc_weight_decay": 0.01,
        },
        measure="error_10_views",
    ),
)
