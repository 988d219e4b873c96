"""Recipes that no run could follow are refused, with what would be right."""

import math

import pytest

from alexnet_common.errors import UsageError
from alexnet_tf import recipes
from alexnet_tf.settings import checks


def check(**changes):
    config = recipes.load("demo")
    for key, value in changes.items():
        *sections, last = key.split("__")
        section = config
        for name in sections:
            section = section[name]
        section[last] = value
    checks.check(recipes.resolve(config))


@pytest.mark.parametrize("name", recipes.recipe_names())
def test_every_recipe_can_be_followed(name):
    checks.check(recipes.resolve(recipes.load(name)))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"seed": -1}, "config.seed must be at least 0, not -1"),
        ({"batch_size": 0}, "config.batch_size must be at least 1, not 0"),
        ({"train_steps": -1}, r"config.train_steps must be 0 \(train_epochs decides\) or above"),
        ({"limit_train_examples": -5}, r"limit_train_examples must be 0 \(all\) or above, not -5"),
        ({"num_classes": 0, "synthetic_data": True}, "synthetic_data needs config.num_classes"),
        ({"input__prefetch_batches": -2}, "config.input.prefetch_batches must be at least 0"),
        ({"input__crop_chunk": -32}, "config.input.crop_chunk must be at least 1, not -32"),
        ({"checkpoint__keep": 0}, "config.checkpoint.keep must be at least 1"),
        ({"train_epochs": 0}, "config.train_epochs must be at least 1"),
        ({"loss_scale": -1.0}, r"config\.loss_scale must be 0 \(dynamic\) or above, not -1"),
        ({"loss_scale": math.inf}, r"config\.loss_scale must be a finite number, not inf"),
        ({"optimizer__clip_global_norm": math.nan}, "clip_global_norm must be a finite number"),
        ({"optimizer__clip_global_norm": -1.0}, r"clip_global_norm must be 0 \(none\) or above"),
        ({"optimizer__momentum": 1.0}, "momentum must be at least 0 and below 1, not 1"),
        ({"learning_rate__initial": math.nan}, "learning_rate.initial must be a finite number"),
        ({"learning_rate__initial": 0.0}, "learning_rate.initial must be above 0, not 0"),
        ({"learning_rate__warmup_epochs": math.inf}, "warmup_epochs must be a finite number"),
        ({"learning_rate__warmup_steps": -5}, r"warmup_steps must be 0 \(none\) or above"),
        ({"learning_rate__reference_batch_size": 0}, "reference_batch_size must be at least 1"),
        ({"learning_rate__power": 0.0}, "power must be above 0"),
        ({"learning_rate__target_factor": 0.0}, "target_factor must be above 0"),
        ({"learning_rate__stages": 0}, "stages must be at least 1"),
        ({"learning_rate__factor": 10.0}, "factor must be above 0 and below 1, not 10"),
        ({"learning_rate__factor": 1.0}, "factor must be above 0 and below 1, not 1"),
        ({"learning_rate__factor": 0.0}, "factor must be above 0 and below 1, not 0"),
        ({"network__init_scale": math.nan}, "network.init_scale must be a finite number"),
    ],
)
def test_a_number_beyond_its_limits_is_named_with_what_would_be_right(changes, words):
    with pytest.raises(UsageError, match=words):
        check(**changes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"optimizer__name": "sdg"}, "one of sgd, lars, .*, not 'sdg'; did you mean sgd"),
        ({"optimizer__averaging": "ema"}, "must be one of none, moving_average, swa, not 'ema'"),
        ({"placement": "two_device"}, "one_device or two_devices, .* did you mean two_devices"),
        ({"distribution": "mirored"}, "did you mean mirrored"),
        ({"implementation": "group"}, "must be one of auto, towers, joint, grouped, not .group."),
        ({"lrn_kernel": "bandit"}, "must be one of auto, tf, tf_fast_gradient, banded"),
        ({"precision": "float16"}, "did you mean .*mixed_float16"),
        ({"preprocess__mean": "median"}, "one of image, channel, none, torchvision, caffe, not"),
        ({"preprocess__color_noise": "pca"}, "one of none, paper, code2012, popular, not 'pca'"),
        ({"learning_rate__monitor": "val_top1"}, "must be one of val_top_1_error, .*'val_top1'"),
        ({"learning_rate__scaling": "root"}, "one of none, linear, square_root, not 'root'"),
        ({"learning_rate__schedule": "cosinus"}, "not 'cosinus'; did you mean cosine"),
    ],
)
def test_an_unknown_choice_is_named_with_the_known_and_the_near_ones(changes, words):
    with pytest.raises(UsageError, match=words):
        check(**changes)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("devices", (1,), r"must be names, each once, .* not \(1,\)"),
        ("devices", ("CPU:0", "CPU:0"), "must be names, each once"),
        ("learning_rate__drop_epochs", ("a",), r"must be numbers of epochs, .*\('a',\)"),
        ("learning_rate__drop_epochs", (-1,), "must be numbers of epochs"),
        ("log__profile_steps", (5,), "the first and the last step"),
        ("log__profile_steps", (5, 4), "the first and the last step"),
        ("log__profile_steps", (0, 3), "the first and the last step"),
        ("log__profile_steps", (1, 2, 3), "the first and the last step"),
        ("log__profile_steps", ("a", "b"), "the first and the last step"),
        ("log__profile_steps", (1.5, 2), "the first and the last step"),
        ("learning_rate__diary", ((25, "rate"),), r"epoch, what, value.*, not \(25, 'rate'\)"),
        ("learning_rate__diary", ((25.5, "rate", 0.1),), "epoch, what, value"),
        ("learning_rate__diary", ((-1, "rate", 0.1),), "epoch, what, value"),
        ("learning_rate__diary", ((25, "rate", 0.0),), "epoch, what, value"),
        ("learning_rate__diary", ((25, "rate", "low"),), "epoch, what, value"),
        ("learning_rate__diary", ((25, "rate", math.inf),), "epoch, what, value"),
        ("learning_rate__diary", ((math.nan, "rate", 0.1),), "epoch, what, value"),
        ("learning_rate__diary", ((25, 3, 0.1),), "epoch, what, value"),
        ("learning_rate__diary", (25,), "epoch, what, value.*, not 25"),
    ],
)
def test_tuples_of_something_else_are_refused(key, value, words):
    with pytest.raises(UsageError, match=words):
        check(**{key: value})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("devices", ("GPU:0", "GPU:1")),
        ("learning_rate__drop_epochs", (30, 60.5)),
        ("log__profile_steps", (1, 1)),
        ("learning_rate__diary", ((0, "color_noise", 0.0), (3, "conv*", 0))),
    ],
)
def test_tuples_of_the_right_form_pass(key, value):
    check(**{key: value, "distribution": "mirrored"})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"distribution": "mirrored", "placement": "two_devices"},
            "placement=two_devices needs config.distribution=one_device",
        ),
        ({"devices": ("CPU:0", "CPU:1")}, "config.devices names several devices"),
        (
            {"implementation": "grouped", "placement": "two_devices"},
            "grouped merges the columns, which config.placement=two_devices wants apart",
        ),
        ({"input__cache": "device", "distribution": "mirrored"}, "use config.input.cache=memory"),
        (
            {"learning_rate__warmup_steps": 5, "learning_rate__warmup_epochs": 1.0},
            "both given; set one",
        ),
        (
            {"steps_per_call": 2, "learning_rate__schedule": "cosine"},
            "schedule=cosine changes the rate at every step",
        ),
        (
            {"optimizer__averaging": "swa", "optimizer__name": "lars"},
            "averaging=swa goes with optimizer sgd or sgdw, not lars",
        ),
    ],
)
def test_settings_that_contradict_each_other_are_refused(changes, words):
    with pytest.raises(UsageError, match=words):
        check(**changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"train_epochs": 0, "train_steps": 1},
        {"devices": ("CPU:0",)},
        {"devices": ("CPU:0", "CPU:1"), "placement": "two_devices", "jit_compile": True},
        {"steps_per_call": 2, "learning_rate__schedule": "step_exponential"},
        {"optimizer__averaging": "swa", "optimizer__name": "sgdw"},
        {"learning_rate__warmup_epochs": 1.5},
    ],
)
def test_settings_that_go_together_pass(changes):
    check(**changes)
