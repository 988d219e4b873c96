"""Settings beyond their limits are refused before anything is made."""

import pytest

from alexnet_common.errors import UsageError
from alexnet_tf import config as recipes
from alexnet_tf import settings
from alexnet_tf.devices import distribution
from alexnet_tf.optim.schedules import learning_rate


def config_with(**changes):
    overrides = [(key.replace("__", "."), str(value)) for key, value in changes.items()]
    return recipes.resolve(recipes.load("demo"), overrides)


@pytest.mark.parametrize("name", recipes.recipe_names())
def test_every_recipe_is_within_its_limits(name):
    settings.check(recipes.resolve(recipes.load(name)))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"seed": -1}, "config.seed must be at least 0, not -1"),
        ({"train_steps": -1}, "config.train_steps must be at least 0"),
        ({"limit_train_examples": -5}, "config.limit_train_examples must be at least 0"),
        ({"num_classes": 0, "synthetic_data": "true"}, "synthetic_data needs config.num_classes"),
        ({"input__prefetch_batches": -2}, "config.input.prefetch_batches must be at least 0"),
        ({"checkpoint__keep": 0}, "config.checkpoint.keep must be at least 1"),
        ({"learning_rate__initial": "nan"}, "config.learning_rate.initial must be a finite number"),
        ({"learning_rate__warmup_epochs": "inf"}, "warmup_epochs must be a finite number"),
        ({"optimizer__clip_global_norm": "nan"}, "clip_global_norm must be a finite number"),
        ({"train_epochs": 0}, "config.train_epochs must be at least 1"),
    ],
)
def test_what_has_no_meaning_is_named(changes, words):
    with pytest.raises(UsageError, match=words):
        settings.check(config_with(**changes))


def test_steps_need_no_epochs():
    settings.check(config_with(train_epochs=0, train_steps=1))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"learning_rate__monitor": "val_top1"}, "must be one of val_top_1_error, .*'val_top1'"),
        (
            {"learning_rate__schedule": "steps", "learning_rate__drop_epochs": "('a',)"},
            r"drop_epochs must be numbers of epochs, .*\('a',\)",
        ),
    ],
)
def test_a_rule_that_could_never_act_is_refused(changes, words):
    with pytest.raises(UsageError, match=words):
        learning_rate.make(config_with(**changes))


@pytest.mark.parametrize("devices", ["(1,)", "('CPU:0','CPU:0')"])
@pytest.mark.parametrize("kind", ["one_device", "mirrored"])
def test_devices_that_are_no_names_or_come_twice_are_refused(devices, kind):
    with pytest.raises(UsageError, match="config.devices must be names, each once"):
        distribution.make(config_with(devices=devices, distribution=kind))
