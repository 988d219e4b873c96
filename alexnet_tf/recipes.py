"""Recipes: Python files in `configs/` that yield a locked configuration, and overrides of it.

A recipe is `configs/NAME.py` with `get_config()`. It begins with the defaults and states its
differences:

    from alexnet_tf import recipes

    def get_config():
        config = recipes.load("default")
        config.name = "my_recipe"
        return config

On the command line, `--config=configs/NAME.py --config.section.key=value` picks and changes one.
"""

from __future__ import annotations

import ast
import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import ml_collections
from absl import flags

from alexnet_common import flag_errors
from alexnet_common.errors import UsageError, UserError, one_line
from alexnet_common.suggestions import did_you_mean
from alexnet_tf.settings import checks
from alexnet_tf.settings.catalog import SETTINGS
from alexnet_tf.tables import table

ConfigDict = ml_collections.ConfigDict

_HERE = Path(__file__).resolve().parent


def recipe_folder() -> Path:
    """Where the shipped recipes lie: inside the installed package, or `configs/` of a checkout."""
    installed = _HERE / "configs"
    return installed if installed.is_dir() else _HERE.parent / "configs"


def recipe_names() -> list[str]:
    """Names of the shipped recipes, without those that hold only defaults."""
    stems = {path.stem for path in recipe_folder().glob("*.py")}
    return sorted(stems - {"__init__", "default"})


def load(name_or_path: str) -> ConfigDict:
    """Loads a recipe by its name ("demo") or by the path of its file ("configs/demo.py").

    A path that is not there is looked up by its name among the shipped recipes, so that
    `--config=configs/demo.py` also works where only the wheel is installed.

    Raises:
        UsageError: there is no such recipe, or the file is not one.
    """
    path = _find(name_or_path)
    spec = importlib.util.spec_from_file_location(f"recipe_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise UsageError(f"config {path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        config = module.get_config()
    except UserError:
        raise
    except Exception as error:
        line = _line_in(error, path)
        raise UsageError(
            f"config {path}{line}: {type(error).__name__}: {one_line(error)}"
        ) from error
    if not isinstance(config, ConfigDict):
        raise UsageError(f"config {path}: get_config() must return a ConfigDict")
    return config


def _find(name_or_path: str) -> Path:
    given = Path(name_or_path)
    if given.suffix == ".py" and given.is_file():
        return given
    shipped = recipe_folder() / f"{given.stem}.py"
    only_a_name = given.parent in (Path("."), Path("configs"))
    if only_a_name and given.suffix in ("", ".py") and shipped.is_file():
        return shipped
    raise UsageError(
        f"config {name_or_path} not found{did_you_mean(given.stem, recipe_names())}; "
        f"shipped recipes: {', '.join(recipe_names())}"
    )


def _line_in(error: Exception, path: Path) -> str:
    """`:LINE` of the recipe where the error came from, as far as the traceback tells."""
    line = getattr(error, "lineno", None)
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            line = trace.tb_lineno
        trace = trace.tb_next
    return f":{line}" if line else ""


def define_flags(flag_values: flags.FlagValues, *, required: bool = True) -> None:
    """Defines `--config` and what `--config.section.key=value` is rewritten to."""
    flags.DEFINE_string(
        "config",
        None,
        "A recipe's name, or the path of its file, such as configs/alexnet_paper.py. "
        "Change a value with --config.section.key=value.",
        flag_values=flag_values,
    )
    if required:
        flags.mark_flag_as_required("config", flag_values=flag_values)
    flags.DEFINE_multi_string(
        "config_override", [], "The same as --config.KEY=VALUE: KEY=VALUE.", flag_values=flag_values
    )
    flag_errors.name_settings(flag_values["config_override"], (f"config.{key}" for key in SETTINGS))


def define_checkpoint_flag(flag_values: flags.FlagValues) -> None:
    """Defines `--checkpoint`, for commands that take the weights of a run."""
    flags.DEFINE_enum(
        "checkpoint",
        "best",
        ["best", "newest"],
        "Weights with the lowest validation error so far, or the latest.",
        flag_values=flag_values,
    )


def from_flags(flag_values: flags.FlagValues) -> ConfigDict:
    """The recipe that the flags name, with its overrides, complete, locked and checked.

    Raises:
        UsageError: a recipe, an override or a value that is wrong.
    """
    overrides = []
    for override in flag_values.config_override:
        key, separator, text = override.partition("=")
        if not separator:
            raise UsageError(f"--config.{key} needs a value: --config.{key}=VALUE")
        overrides.append((key, text))
    config = resolve(load(flag_values.config), overrides)
    checks.check(config)
    return config


def resolve(config: ConfigDict, overrides: Sequence[tuple[str, str]] = ()) -> ConfigDict:
    """Completes a recipe with the options of its network, applies overrides, and locks it.

    Args:
        config: as `load` returns it.
        overrides: (key, text) pairs such as ("optimizer.momentum", "0.8"), applied in order.

    Raises:
        UsageError: an unknown key, network or option, or a value of the wrong type.
    """
    # The network's name decides which options there are to be overridden.
    names = [text for key, text in overrides if key == "network.name"]
    if names and names[-1] != config.network.name:
        config.network = ConfigDict({"name": names[-1]})
    options = table.options(config.network.name)
    for option in config.network:
        if option not in options:
            near = did_you_mean(option, options) or f"; it has {', '.join(options)}"
            raise UsageError(
                f"config.network.{option}: network {config.network.name} has no such option{near}"
            )
    # In place, so that a recipe's references between keys stay.
    config.network.update({key: options[key] for key in options if key not in config.network})
    for key, text in overrides:
        set_from_text(config, key, text)
    config.lock()
    return config


def set_from_text(config: ConfigDict, key: str, text: str) -> None:
    """Sets `config.a.b` for the key "a.b" from text, in the type that the value has now.

    Raises:
        UsageError: an unknown key (near misses are named), or text of the wrong type.
    """
    *parents, last = key.split(".")
    section = config
    for depth, part in enumerate(parents):
        if part not in section or not isinstance(section[part], ConfigDict):
            raise _unknown(".".join(parents[: depth + 1]), part, section, key)
        section = section[part]
    if last not in section:
        raise _unknown(key, last, section, key)
    old = section[last]
    if isinstance(old, ConfigDict):
        raise UsageError(f"config.{key} is a section; its keys: {', '.join(sorted(old.keys()))}")
    section[last] = _parse(key, text, old)


def _parse(key: str, text: str, old: Any) -> Any:
    if key in SETTINGS and SETTINGS[key].choices:
        return SETTINGS[key].parse(text)
    if isinstance(old, str):
        return text
    kinds = {bool: "true or false", int: "a whole number", float: "a number"}
    try:
        if isinstance(old, bool):
            return {"true": True, "1": True, "false": False, "0": False}[text.lower()]
        if isinstance(old, int):
            return int(text)
        if isinstance(old, float):
            return float(text)
        value = ast.literal_eval(text)
        if isinstance(old, tuple):
            return tuple(value) if isinstance(value, list | tuple) else (value,)
        return value
    except (KeyError, ValueError, SyntaxError) as error:
        wanted = kinds.get(type(old), f"a Python literal such as {old!r}")
        raise UsageError(f"config.{key} must be {wanted}, not {text!r}") from error


def _unknown(path: str, part: str, section: ConfigDict, key: str) -> UsageError:
    names = sorted(section.keys())
    near = did_you_mean(part, names)
    if not near:
        # A key that exists in another section is the other common slip.
        near = f"; keys here: {', '.join(names)}"
    return UsageError(f"config has no key {path!r} (from --config.{key}){near}")


def to_dict(config: ConfigDict) -> dict[str, Any]:
    """The configuration as plain dicts, lists and numbers: what `config.json` holds."""
    plain: dict[str, Any] = json.loads(json.dumps(config.to_dict(), sort_keys=True))
    return plain


def from_dict(values: dict[str, Any]) -> ConfigDict:
    """The configuration that `to_dict` wrote (tuples come back as tuples)."""

    def tuples(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: tuples(item) for key, item in value.items()}
        return tuple(tuples(item) for item in value) if isinstance(value, list) else value

    config = ConfigDict(tuples(values))
    config.lock()
    return config


# What keys that came into being later were before, where that is not their default.
_BEFORE = {"pool_kernel": "tf"}


def completed(values: dict[str, Any]) -> dict[str, Any]:
    """What `to_dict` wrote, with the defaults of keys that came into being later."""
    defaults = to_dict(load("default"))
    name = values.get("network", {}).get("name")
    if name in table.RECIPES:
        defaults["network"] = json.loads(json.dumps(table.options(name)))
    return _filled(_BEFORE | values, defaults)


def _filled(values: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    filled = defaults | values
    for key, value in values.items():
        if isinstance(value, dict) and isinstance(defaults.get(key), dict):
            filled[key] = _filled(value, defaults[key])
    return filled


class Difference(NamedTuple):
    """A key that has another value in another config."""

    key: str
    old: Any
    new: Any

    def __str__(self) -> str:
        """As "section.key: old -> new"."""
        return f"{self.key}: {self.old!r} -> {self.new!r}"


def differences(old: dict[str, Any], new: dict[str, Any], prefix: str = "") -> list[Difference]:
    """Keys whose values differ between two configs, as `to_dict` returns them."""
    different: list[Difference] = []
    for key in sorted({*old, *new}):
        before, after = old.get(key), new.get(key)
        if isinstance(before, dict) and isinstance(after, dict):
            different += differences(before, after, f"{prefix}{key}.")
        elif before != after:
            different.append(Difference(f"{prefix}{key}", before, after))
    return different
