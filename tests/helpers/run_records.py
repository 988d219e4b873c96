"""Hand-made records of a run, as the loop gives them to its watchers."""

import dataclasses

from alexnet_tf.train_loop.logging.records import (
    Epoch,
    Interval,
    Means,
    Norms,
    Speed,
    Validation,
)

MEANS = Means(epoch=2, step=1234, loss=2.5, top_1_error=0.75, top_5_error=0.25, learning_rate=0.01)
SPEED = Speed(images_per_second=1500.0, data_wait=0.02)
VALIDATION = Validation(loss=2.0, top_1_error=0.5, top_5_error=0.125, count=50000, seconds=30.0)


def interval(*, speed=SPEED, seconds_left=7500.0, gradient_norm=None, **means):
    """An interval whose means differ from MEANS in some fields."""
    return Interval(
        dataclasses.replace(MEANS, **means),
        Norms(parameter_norm=3.5, gradient_norm=gradient_norm),
        speed,
        seconds_left,
    )


def epoch(
    *,
    validation=VALIDATION,
    train_seconds=61.0,
    is_best=False,
    speed=SPEED,
    seconds_left=7500.0,
    peak_memory=3 << 30,
    **means,
):
    """An epoch whose means differ from MEANS in some fields."""
    changed = dataclasses.replace(MEANS, **means)
    return Epoch(changed, speed, train_seconds, validation, is_best, seconds_left, peak_memory)
