"""Every shipped recipe: its counts, and what the command line does to it."""

import pytest

from alexnet_common.errors import UsageError, UserError
from alexnet_tf import recipes
from alexnet_tf.tables import summary, table

# Recipes of a network of their own; cuda_convnet's is whatever file it is given.
OWN = [name for name in recipes.recipe_names() if name != "cuda_convnet"]


@pytest.mark.parametrize("name", OWN)
def test_a_recipe_counts_what_it_promises(name):
    config = recipes.resolve(recipes.load(name))
    net = table.from_config(config.network, config.num_classes)
    assert config.name.startswith(name)
    if config.promised.parameters:
        assert summary.parameter_count(net) == config.promised.parameters
    if config.promised.neurons:
        assert summary.neuron_count(net) == config.promised.neurons


@pytest.mark.parametrize("name", recipes.recipe_names())
def test_a_recipe_survives_its_config_file(name):
    """config.json must give back the same recipe, tuples included."""
    config = recipes.resolve(recipes.load(name))
    again = recipes.from_dict(recipes.to_dict(config))
    assert again.to_dict() == config.to_dict()


@pytest.mark.parametrize("name", recipes.recipe_names())
def test_a_recipe_says_what_it_is(name):
    text = (recipes.recipe_folder() / f"{name}.py").read_text()
    first = text.split('"""')[1]
    assert len(first.strip().splitlines()) >= 3, "a recipe's docstring says how to run it"


def test_a_recipe_with_the_former_name_of_the_module_loads(tmp_path):
    """As the docs told it until 0.2.0: files of users import the module by that name."""
    path = tmp_path / "mine.py"
    path.write_text(
        "from alexnet_tf import config as recipes\n\n\ndef get_config():\n"
        "    config = recipes.load('demo')\n    config.name = 'mine'\n    return config\n"
    )
    expected = recipes.load("demo").to_dict() | {"name": "mine"}
    assert recipes.load(str(path)).to_dict() == expected


def test_a_definition_file_takes_the_rates_and_files_of_the_command_line(real_data):
    folder = real_data / "layer_definitions_2012"
    overrides = [
        ("layers", str(folder / "layers-145.cfg")),
        ("layer_params", str(folder / "layer-params-145.cfg")),
        ("learning_rate.initial", "0.02"),
    ]
    config = recipes.resolve(recipes.load("cuda_convnet"), overrides)
    assert config.network.base_rate == 0.02
    net = table.from_config(config.network, config.num_classes)
    assert summary.parameter_count(net) == 60_965_224


def test_paper_and_profiles_promise_the_reference_counts():
    """60,965,224 and 659,272: the paper's net; the others as published."""
    counts = {
        name: recipes.load(name).promised.parameters
        for name in ("alexnet_paper", "alexnet_caffe", "alexnet_owt", "alexnet_one_column")
    }
    assert counts == {
        "alexnet_paper": 60_965_224,
        "alexnet_caffe": 60_965_224,
        "alexnet_owt": 61_100_840,
        "alexnet_one_column": 59_798_312,
    }


@pytest.mark.parametrize(
    ("overrides", "key", "value"),
    [
        ([("batch_size", "64")], "batch_size", 64),
        ([("optimizer.momentum", "0.5")], "optimizer.momentum", 0.5),
        ([("input.random_flip", "false")], "input.random_flip", False),
        ([("devices", "('CPU:0','CPU:1')")], "devices", ("CPU:0", "CPU:1")),
        ([("network.lrn_k", "1")], "network.lrn_k", 1.0),
        ([("network.name", "demo"), ("network.hidden", "32")], "network.hidden", 32),
    ],
)
def test_overrides_take_the_type_of_what_they_replace(overrides, key, value):
    config = recipes.resolve(recipes.load("alexnet_paper"), overrides)
    for part in key.split("."):
        config = config[part]
    assert config == value and type(config) is type(value)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ([("batchsize", "64")], "did you mean batch_size"),
        ([("optimizer.momentun", "0.5")], "did you mean momentum"),
        ([("network.lrn_kk", "1")], "did you mean lrn_k"),
        ([("batch_size", "many")], "must be a whole number"),
        ([("batch_size", "1.5")], "must be a whole number"),
        ([("optimizer", "sgd")], "is a section"),
        ([("network.name", "alexnett")], "alexnet"),
        ([("input.random_flip", "maybe")], "true or false"),
    ],
)
def test_wrong_overrides_are_named(overrides, words):
    with pytest.raises(UserError, match=words):
        recipes.resolve(recipes.load("alexnet_paper"), overrides)


def test_a_recipe_with_an_error_is_named_with_its_line(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("def get_config():\n    return undefined_name\n")
    with pytest.raises(UsageError, match=r"mine.py:2: NameError"):
        recipes.load(str(path))


def test_a_missing_recipe_names_near_ones():
    with pytest.raises(UsageError, match="did you mean demo"):
        recipes.load("configs/demoo.py")


def test_differences_are_listed_by_key():
    old = {"a": 1, "b": {"c": (1, 2), "d": 3}}
    new = {"a": 1, "b": {"c": (1, 3), "d": 3}, "e": 4}
    different = recipes.differences(old, new)
    assert [one.key for one in different] == ["b.c", "e"]
    assert [str(one) for one in different] == ["b.c: (1, 2) -> (1, 3)", "e: None -> 4"]
