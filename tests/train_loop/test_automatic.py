"""What `auto` becomes, and that a run never changes it."""

import dataclasses
import json

import pytest

from alexnet_tf import recipes
from alexnet_tf.runs.workdir import WorkFolder
from alexnet_tf.settings import checks
from alexnet_tf.settings.catalog import SETTINGS
from alexnet_tf.tables import summary, table
from alexnet_tf.train_loop import automatic
from alexnet_tf.train_loop.first_page import chosen, first_page
from alexnet_tf.train_loop.setup import set_up
from tests.helpers import small_dataset

PLACES = [
    automatic.Place(gpu, placed, columns, normalises)
    for gpu in (False, True)
    for placed in (False, True)
    for columns in (1, 2)
    for normalises in (False, True)
]


def value_of(config, key):
    for part in key.split("."):
        config = config[part]
    return config


@pytest.mark.parametrize("place", PLACES)
def test_every_auto_becomes_a_choice_that_is_allowed_and_has_a_reason(place):
    config = recipes.resolve(recipes.load("alexnet_paper"))
    if place.placed:
        config.placement = "two_devices"
    wanted = {key for key, setting in SETTINGS.items() if "auto" in setting.choices}
    wanted.add("steps_per_call")
    made = automatic.resolve(config, place, None)
    assert {choice.key for choice in made} == wanted
    for choice in made:
        assert value_of(config, choice.key) == choice.value
        assert choice.value is False or choice.value not in ("auto", 0)
        assert choice.reason
    checks.check(config)


def test_gpus_compile_and_cpus_do_not():
    paper = table.from_config({"name": "alexnet"}, 1000)
    gpu = automatic.choices(automatic.Place.of(paper, gpu=True, placed=False))
    cpu = automatic.choices(automatic.Place.of(paper, gpu=False, placed=False))
    assert gpu["jit_compile"].value is True and gpu["lrn_kernel"].value == "shifted"
    assert "TF32" in gpu["precision"].reason
    assert cpu["jit_compile"].value is False and cpu["lrn_kernel"].value == "tf"
    apart = automatic.choices(automatic.Place.of(paper, gpu=True, placed=True))
    assert apart["jit_compile"].value is False and apart["implementation"].value == "towers"
    assert apart["jit_compile"].reason == "not measured with columns on two GPUs"


def test_what_xla_makes_fast_needs_xla():
    paper = table.from_config({"name": "alexnet"}, 1000)
    values = {}
    for compiled in (True, False):
        place = automatic.Place.of(paper, gpu=True, placed=False, compiled=compiled)
        made = automatic.choices(place)
        keys = ("lrn_kernel", "pool_kernel", "strided_convolution", "implementation")
        values[compiled] = [made[key].value for key in keys]
    assert values[True] == ["shifted", "shifted", "space_to_depth", "joint"]
    assert values[False] == ["banded", "tf", "direct", "joint"]


def test_columns_that_learn_in_different_ways_stay_towers():
    layers = table.from_config({"name": "alexnet"}, 1000)
    rows = [
        dataclasses.replace(
            row,
            kernels=tuple(
                dataclasses.replace(k, learning_rate_multiplier=0.0) for k in row.kernels
            ),
        )
        if row.name == "conv3a"
        else row
        for row in layers.layers
    ]
    frozen = dataclasses.replace(layers, layers=tuple(rows))
    place = automatic.Place.of(frozen, gpu=True, placed=False)
    assert automatic.choices(place)["implementation"].value == "towers"


def test_small_sets_go_to_the_device_and_small_nets_make_many_steps_per_call():
    layers = table.from_config({"name": "cifar_quick"}, 10)

    def values(gpu=False, size=154e6, **more):
        place = automatic.Place.of(layers, gpu, False, set_bytes=int(size), **more)
        choice = automatic.choices(place)
        return choice["input.cache"].value, choice["steps_per_call"].value

    # 128 images of 12.35 million multiplications forward: 9.5 GFLOP per step.
    assert values(cache="device") == ("none", 1)
    assert values(batch_size=8, cache="device")[1] == 16
    # On a CPU two runs of one seed must end with the same bits, which such a set has not assured.
    assert values() == values(batch_size=8) == ("none", 1)
    assert values(gpu=True) == ("device", 100)
    assert values(gpu=True, batch_size=1024) == ("device", 13)
    assert values(gpu=True, many_steps=False) == ("device", 1)
    assert values(gpu=True, size=2e9) == ("none", 1)
    assert values(gpu=True, size=0) == ("none", 1)
    # Whatever the recipe names decides.
    assert values(gpu=True, cache="none")[1] == 1
    assert values(gpu=True, size=2e9, cache="device")[1] == 100


def test_multiplications_by_hand():
    cifar = table.from_config({"name": "cifar_quick"}, 10)
    by_hand = 32 * 32 * 75 * 32 + 16 * 16 * 800 * 32 + 8 * 8 * 800 * 64 + 1024 * 64 + 64 * 10
    assert summary.multiplication_count(cifar) == by_hand
    # The paper's two columns; 4.135 GFLOP are forward and backward, without an image's gradient.
    paper = table.from_config({"name": "alexnet"}, 1000)
    conv1, conv2 = 55 * 55 * 363 * 96, 27 * 27 * 1200 * 256
    conv3, conv4, conv5 = 13 * 13 * 2304 * 384, 13 * 13 * 1728 * 384, 13 * 13 * 1728 * 256
    connected = 9216 * 4096 + 4096 * 4096 + 4096 * 1000
    assert summary.multiplication_count(paper) == conv1 + conv2 + conv3 + conv4 + conv5 + connected


def test_named_values_stay():
    config = recipes.resolve(
        recipes.load("demo"), [("jit_compile", "true"), ("lrn_kernel", "banded")]
    )
    made = automatic.resolve(config, PLACES[0], None)
    assert config.jit_compile is True and config.lrn_kernel == "banded"
    assert not {"jit_compile", "lrn_kernel"} & {choice.key for choice in made}


def test_a_run_goes_on_as_it_began(tmp_path):
    data = small_dataset.make(tmp_path / "data", image_size=32, classes=10)

    def begin(**changes):
        config = recipes.load("cifar10_quick")
        config.update(changes)
        config.data_dir = str(data)
        with WorkFolder(tmp_path / "run") as folder:
            return set_up(recipes.resolve(config), folder)

    page = first_page(begin(lrn_kernel="banded"))
    assert "chosen         jit_compile=false: on CPUs" in page
    assert "lrn_kernel" not in page
    kept = json.loads((tmp_path / "run" / "config.json").read_text())
    assert kept["jit_compile"] is False and kept["precision"] == "float32"
    assert "auto" not in json.dumps(kept)
    # The table would choose "tf" by now.
    again = begin()
    assert again.config.lrn_kernel == "banded"
    page = first_page(again)
    block = page[page.index("chosen ") :].split("\n")
    # One line of text, not one per setting.
    text = " ".join(line.strip() for line in block)
    assert text.count("as the run began") == 1 and "lrn_kernel=banded" in text
    assert "steps_per_call=1" in text and "on CPUs" not in text


def choices_on_the_page(gpu, columns):
    layers = table.from_config({"name": "alexnet"}, 1000)
    place = automatic.Place.of(layers, gpu=gpu, placed=False, set_bytes=10**6)
    made = list(automatic.choices(place).values())
    return made, chosen(made, columns)


@pytest.mark.parametrize("gpu", [False, True])
@pytest.mark.parametrize("columns", [60, 80, 100])
def test_choices_stand_in_one_block_within_the_terminal(gpu, columns):
    made, block = choices_on_the_page(gpu, columns)
    lines = "\n".join(block).split("\n")
    assert max(map(len, lines)) <= columns
    assert lines[0].startswith("chosen         ")
    assert {line[:15].strip() for line in lines[1:]} == {""}
    text = " ".join(line[15:].strip() for line in lines)
    # Every setting is there, once; a reason with those that are not the plain operations.
    for choice in made:
        assert text.count(f"{choice.key}=") == 1


def test_what_needs_no_reason_shares_the_last_line():
    _, block = choices_on_the_page(gpu=False, columns=200)
    plain = "lrn_kernel=tf, implementation=towers, pool_kernel=tf, strided_convolution=direct"
    assert block[-1].strip() == f"{plain}: the plain operations"
    assert [line[15:].split("=")[0] for line in block] == [
        *("jit_compile", "precision", "input.cache", "steps_per_call", "lrn_kernel"),
    ]
    # On a GPU every one of them is something else, with its reason.
    assert not any("plain operations" in line for line in choices_on_the_page(True, 200)[1])
    assert chosen([]) == []


def test_where_images_stay_is_chosen_anew_in_another_place():
    config = recipes.resolve(recipes.load("cifar10_quick"))
    begun = recipes.to_dict(config)
    begun["input"]["cache"] = "device"
    begun["steps_per_call"] = 20
    automatic.resolve(config, automatic.Place(False, False, 1, False), begun)
    assert config.input.cache == "none" and config.steps_per_call == 20


def test_exact_float32_is_float32_for_keras():
    assert automatic.keras_policy("float32_exact") == automatic.keras_policy("float32") == "float32"
    assert automatic.keras_policy("mixed_bfloat16") == "mixed_bfloat16"
