"""Budgets that claims share: how long a run is, how many images it sees, how many seeds there are.

`smoke` shows in seconds that every arm runs and is measured; it never makes a verdict. `laptop` is
for an hour of one CPU core, `gpu` for minutes of a GPU that a dozen runs share.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from alexnet_tf.claims.claim import Budget

# Half a minute of a core: few images, which can be overfitted, in small batches.
LAPTOP: dict[str, Any] = {"epochs": 50, "images": 500, "batch_size": 32}
# A run is always evaluated at its end.
NEVER = 1_000_000
# Long enough that every measure has something to measure.
_SMOKE = {"limit_train_examples": 64, "train_epochs": 1, "batch_size": 32}


def budgets(
    laptop: Mapping[str, Any],
    gpu: Mapping[str, Any],
    *,
    changes: Mapping[str, Any] | None = None,
    pilot_epochs: int = 0,
) -> dict[str, Budget]:
    """The three budgets of a claim.

    The rate falls to a tenth after three quarters of a run and again after nine tenths, unless
    `changes` names a schedule.

    Args:
        laptop, gpu: `epochs`, `images` (0: all) and `seeds`; further config keys and
            values; `pilot_epochs` if not those of all budgets.
        changes: config keys and values that hold for all arms.
        pilot_epochs: length of the runs that decide a grid; 0: no arm has one.
    """
    own = dict(changes or {})

    def budget(length: Mapping[str, Any]) -> Budget:
        epochs = length["epochs"]
        drops = {
            "learning_rate.schedule": "steps",
            "learning_rate.drop_epochs": (epochs * 3 // 4, epochs * 9 // 10),
        }
        overrides = {
            "evaluation.every_epochs": NEVER,
            **({} if "learning_rate.schedule" in own else drops),
            **own,
            "train_epochs": epochs,
            "limit_train_examples": length["images"],
        }
        overrides |= {key: length[key] for key in length if key == "batch_size" or "." in key}
        images = f"{length['images']:,}" if length["images"] else "all"
        return Budget(
            overrides,
            length["seeds"],
            f"{epochs} epochs of {images} images per run",
            {"train_epochs": length.get("pilot_epochs", pilot_epochs)} if pilot_epochs else {},
        )

    smoke = Budget(own | _SMOKE, 1, "seconds per run", {"train_epochs": 1} if pilot_epochs else {})
    return {"smoke": smoke, "laptop": budget(laptop), "gpu": budget(gpu)}
