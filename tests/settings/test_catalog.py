"""What is said about every config key: complete, and the same that recipes and code go by."""

import pytest
from ml_collections import config_dict

from alexnet_common.errors import UsageError
from alexnet_tf import recipes
from alexnet_tf.settings import checks
from alexnet_tf.settings.catalog import SETTINGS, meaning_of, resume_of
from alexnet_tf.settings.setting import Resume, Setting
from alexnet_tf.weight_io.means import MEANS

DEFAULTS = dict(checks.values(recipes.load("default")))


def test_the_catalogue_lists_the_keys_of_the_default_recipe():
    """Options of the network belong to the networks."""
    assert set(SETTINGS) == {key for key in DEFAULTS if not key.startswith("network.")}


@pytest.mark.parametrize("key", SETTINGS)
def test_a_default_is_within_its_own_limits_and_every_key_has_a_meaning(key):
    SETTINGS[key].check(DEFAULTS[key])
    assert SETTINGS[key].meaning.endswith(".")


def test_limits_only_stand_where_they_are_looked_at():
    for key, setting in SETTINGS.items():
        number = isinstance(DEFAULTS[key], int | float) and not isinstance(DEFAULTS[key], bool)
        assert number or not setting.limits(), key
        assert bool(setting.form) == isinstance(DEFAULTS[key], tuple), key


def test_what_a_resumed_run_may_change():
    """The contract of work folders since the first of them; later keys come on top."""
    by_resume = {resume: {key for key in SETTINGS if resume_of(key) is resume} for resume in Resume}
    assert by_resume[Resume.FREE] >= {
        "data_dir",
        "train_epochs",
        "train_steps",
        "loss_scale",
        "promised.parameters",
        "promised.neurons",
        "input.cache",
        "input.threads",
        "input.prefetch_batches",
        "checkpoint.every_minutes",
        "checkpoint.every_steps",
        "checkpoint.keep",
        "log.every_steps",
        "log.tensorboard",
        "log.histograms_every_epochs",
        "log.profile_steps",
        "log.expected",
    }
    assert by_resume[Resume.ROUNDING] >= {
        "accumulation_steps",
        "deterministic",
        "devices",
        "distribution",
        "implementation",
        "jit_compile",
        "lrn_kernel",
        "placement",
        "steps_per_call",
        "strided_convolution",
    }
    assert resume_of("network.filters") is resume_of("a_key_of_my_own") is Resume.REFUSED


def test_every_programs_mean_is_a_choice():
    assert set(MEANS) < set(SETTINGS["preprocess.mean"].choices)


def test_sources_are_named():
    assert "Goyal et al. 2017" in meaning_of("learning_rate.scaling", "linear")
    assert "Krizhevsky 2014" in meaning_of("learning_rate.scaling", "square_root")
    assert "Izmailov et al. 2018" in meaning_of("optimizer.averaging", "swa")


@pytest.mark.parametrize(
    ("text", "value"),
    [("auto", "auto"), ("true", True), ("False", False), ("1", True), ("off", "off")],
)
def test_choices_may_be_words_and_truth_values(text, value):
    setting = Setting("jit", "Compile.", choices={"auto": "", True: "", False: ""})
    parsed = setting.parse(text)
    assert parsed == value and type(parsed) is type(value)
    # Such a key takes both types.
    section = config_dict.ConfigDict()
    section.jit = config_dict.FieldReference("auto", field_type=object)
    section.lock()
    section.jit = parsed
    assert section.to_dict() == {"jit": value}


def test_only_the_choices_themselves_pass():
    setting = Setting("jit", "Compile.", choices={"auto": "", True: "", False: ""})
    for value in ("auto", True, False):
        setting.check(value)
    for value in ("off", "True", 1, 0, 2):
        with pytest.raises(UsageError, match="must be one of auto, true, false, not"):
            setting.check(value)


def test_words_that_look_like_truth_values_stay_words():
    assert Setting("kind", "A word.", choices={"1": "", "true": ""}).parse("1") == "1"


@pytest.mark.parametrize(
    ("limits", "words", "inside", "outside"),
    [
        ({"least": 0, "most": 1}, "at least 0 and at most 1", (0, 0.5, 1), (-0.1, 1.1)),
        ({"above": 0, "below": 1}, "above 0 and below 1", (0.1, 0.9), (0, 1, -1, 2)),
        ({"least": 0, "zero": "never"}, "0 (never) or above", (0, 7), (-1,)),
        ({}, "", (-5, 5), (float("inf"), float("nan"))),
    ],
)
def test_limits_in_words_and_in_numbers(limits, words, inside, outside):
    setting = Setting("x", "A number.", **limits)
    assert setting.limits() == words
    for value in inside:
        setting.check(value)
    for value in outside:
        with pytest.raises(UsageError, match="config.x must be"):
            setting.check(value)
