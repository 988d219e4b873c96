"""What every command shares: lists of commands, help that comes at once, plain words for flags."""

import importlib
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import pytest
from absl import flags

import alexnet_tf
import data_prep
from alexnet_common import command, command_list
from alexnet_tf import recipes, retrieve, train, weights

ALL = [
    *(f"alexnet_tf.{name}" for name in command_list.commands(alexnet_tf.__path__)),
    *(f"data_prep.{name}" for name in command_list.commands(data_prep.__path__)),
]
# What takes long to import; help must come without it.
HEAVY = {"tensorflow", "keras", "matplotlib", "scipy", "sklearn", "pandas", "tensorboard"}


def python(*arguments):
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, timeout=120, check=False,
        env=os.environ | {"COLUMNS": "80"},
    )  # fmt: skip


def imported(stderr):
    """Packages that `-X importtime` lists."""
    names = re.findall(r"^import time:.*\| +([\w.]+)$", stderr, re.MULTILINE)
    return {name.partition(".")[0] for name in names}


@pytest.mark.parametrize("module", [*ALL, "alexnet_tf", "data_prep"])
def test_help_comes_without_heavy_imports(module):
    done = python("-X", "importtime", "-m", module, "--help")
    assert done.returncode == 0
    assert "--version" in done.stdout or "Commands:" in done.stdout
    if "Commands:" not in done.stdout:
        assert max(map(len, done.stdout.splitlines())) <= 80
    packages = imported(done.stderr)
    assert "absl" in packages
    assert packages & HEAVY == set()
    if module in ("alexnet_tf.train", "alexnet_tf.evaluate", "alexnet_tf.launch", "alexnet_tf"):
        assert "numpy" not in packages


@pytest.mark.parametrize(
    ("module", "needed"),
    [
        ("alexnet_tf.analyze", ["workdir", "output_dir"]),
        ("alexnet_tf.export", ["workdir", "output_dir"]),
        ("alexnet_tf.report", ["workdir"]),
        ("alexnet_tf.serve", ["model"]),
        ("alexnet_tf.train", ["config"]),
        ("data_prep.build_tfrecords", ["train", "output_dir"]),
        ("data_prep.make_demo_images", ["output_dir"]),
        ("data_prep.show", ["data_dir", "output_dir"]),
        ("data_prep.verify", ["data_dir"]),
    ],
)
def test_a_word_that_is_no_flag_is_refused(module, needed, tmp_path, capsys):
    """As a forgotten pair of dashes leaves it; nothing is begun."""
    chosen = importlib.import_module(module)
    values = [f"--{flag}={'demo' if flag == 'config' else tmp_path / 'none'}" for flag in needed]
    status = command.call(chosen.define_flags, chosen.main, chosen.__doc__, [*values, "word"])
    assert status == 2
    assert "error: unexpected " in (said := capsys.readouterr().err) and "'word'" in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("package", ["alexnet_tf", "data_prep"])
def test_a_package_lists_its_commands(package, repository):
    done = python("-m", package)
    assert done.returncode == 0
    listed = re.findall(r"^  python -m (\S+) +(\S.*)$", done.stdout, re.MULTILINE)
    # What has a console script can be run as a module, too.
    packaging = (repository / "setup.py").read_text()
    scripts = re.findall(rf'"alexnet-[\w-]+=({package}\.[a-z]\w+):run"', packaging)
    assert scripts and set(scripts) <= {module for module, _ in listed}
    for module, line in listed:
        source = (repository / f"{module.replace('.', '/')}.py").read_text()
        assert source.startswith(f'"""{line}')


def test_a_command_that_is_not_there_is_named_with_near_ones():
    done = python("-m", "alexnet_tf", "trian")
    assert done.returncode == 2
    assert done.stderr.startswith("error: there is no command 'trian'; did you mean train")


@pytest.mark.parametrize(
    ("package", "name", "module"),
    [
        ("alexnet_tf", "train", "alexnet_tf.train"),
        ("data_prep", "make-demo-images", "data_prep.make_demo_images"),
        ("data_prep", "make_demo_images", "data_prep.make_demo_images"),
    ],
)
def test_a_package_runs_its_commands(package, name, module):
    dispatched, itself = python("-m", package, name, "--zzz=1"), python("-m", module, "--zzz=1")
    assert dispatched.returncode == itself.returncode == 2
    assert dispatched.stderr == itself.stderr != ""


def test_on_a_terminal_the_list_is_within_its_width():
    listed = {
        "train": "Trains a network on a dataset folder. Running the same command again resumes.",
        "figures": "Draws the paper's figures of your own network.",
    }
    wide = command_list.text("python -m alexnet_tf", "About.", listed)
    narrow = command_list.text("python -m alexnet_tf", "About.", listed, 80)
    assert max(map(len, wide.splitlines())) > 80 >= max(map(len, narrow.splitlines()))
    assert narrow.split() == wide.split()
    continued = [line for line in narrow.splitlines() if line.startswith("   ")]
    assert continued and {len(line) - len(line.lstrip()) for line in continued} == {32}


@pytest.mark.parametrize("columns", [10, 40])
def test_a_terminal_too_narrow_for_two_columns_breaks_the_lines_itself(columns):
    listed = {"train": "Trains a network on a dataset folder."}
    wide = command_list.text("python -m alexnet_tf", "About.", listed)
    assert command_list.text("python -m alexnet_tf", "About.", listed, columns) == wide


def test_the_script_lists_and_runs_all_commands():
    """What the console script `alexnet-tf` calls."""
    script = ("-c", "from alexnet_tf.__main__ import run; run()")
    done = python(*script)
    assert done.returncode == 0
    listed = re.findall(r"^  alexnet-tf (\S+) +\S.*$", done.stdout, re.MULTILINE)
    assert listed == [module.partition(".")[2] for module in ALL]
    done = python(*script, "verify", "--zzz=1")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    done = python(*script, "--workdir=x")
    assert done.returncode == 2 and done.stderr.startswith("error: there is no flag --workdir")


@pytest.mark.parametrize(
    "module", ["alexnet_tf.train", "alexnet_tf.export", "data_prep.verify", "alexnet_tf"]
)
def test_every_command_says_its_version(module, repository):
    done = python("-m", module, "--version")
    assert done.returncode == 0
    match = re.fullmatch(r"alexnet-tf (\d+\.\d+\.\d+) \(Python [\d.]+, .*\)\n", done.stdout)
    assert match
    common = (repository / "alexnet_common" / "__init__.py").read_text()
    assert f'__version__ = "{match[1]}"' in common


@pytest.mark.parametrize(("call", "action"), [(retrieve.call, "measure"), (weights.call, "export")])
def test_an_output_that_cannot_be_written_is_said_before_a_run_is_read(
    call, action, tmp_path, capsys
):
    (tmp_path / "file").write_text("mine")
    output = f"--output={tmp_path / 'file' / 'out.npz'}"
    run = f"--workdir={tmp_path / 'no run'}"
    assert call([action, run, output]) == 1
    said = f"{output.replace('=', ' ')} cannot be written: a part of its path is a file"
    assert said in capsys.readouterr().err


def test_a_setting_written_as_a_flag_is_named(capsys):
    for given, right in (
        ("--data_dir=x", "--config.data_dir"),
        ("--momentum=0.9", "--config.optimizer.momentum"),
        ("--every_steps=5", "--config.checkpoint.every_steps or --config.log.every_steps"),
    ):
        assert (
            command.call(recipes.define_flags, lambda *_: 0, "Doc.", ["--config=demo", given]) == 2
        )
        flag = given.partition("=")[0]
        wanted = f"error: there is no flag {flag}; did you mean {right}? (--help lists the flags)"
        assert capsys.readouterr().err.strip() == wanted
    assert command.call(recipes.define_flags, lambda *_: 0, "Doc.", []) == 2
    assert capsys.readouterr().err.startswith("error: --config is missing: a recipe's name, or the")


def define_flags(flag_values):
    flags.DEFINE_string(
        "workdir", None, "Folder of the run. Made if needed.", flag_values=flag_values
    )
    flags.mark_flag_as_required("workdir", flag_values=flag_values)
    flags.DEFINE_enum("views", "10", ["1", "10"], "Views.", flag_values=flag_values)
    flags.DEFINE_enum("kind", "best", ["best", "newest", "all"], "Kind.", flag_values=flag_values)
    flags.DEFINE_integer("number", 1, "Number.", lower_bound=0, flag_values=flag_values)
    flags.DEFINE_integer("port", 1, "Port.", 0, 65535, flag_values=flag_values)
    flags.DEFINE_float("seconds", 1.0, "Time.", flag_values=flag_values)
    flags.DEFINE_bool("check", False, "Check.", flag_values=flag_values)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "--workdir is missing: folder of the run (--help lists the flags)"),
        (["--workdir"], "--workdir needs a value: --workdir=VALUE (--help lists the flags)"),
        (
            ["--wrokdir=x"],
            "there is no flag --wrokdir; did you mean --workdir? (--help lists the flags)",
        ),
        (["--zzz=x"], "there is no flag --zzz (--help lists the flags)"),
        (["--views=3"], "--views must be 1 or 10, not '3'"),
        (
            ["--kind=bset"],
            "--kind must be one of best, newest, all, not 'bset'; did you mean best?",
        ),
        (["--number=x"], "--number must be a whole number, at least 0, not 'x'"),
        (["--number=-1"], "--number must be a whole number, at least 0, not '-1'"),
        (["--port=70000"], "--port must be a whole number from 0 to 65535, not '70000'"),
        (["--seconds=soon"], "--seconds must be a number, not 'soon'"),
        (["--check=maybe"], "--check must be true or false, not 'maybe'"),
        # A value that was forgotten: absl would make the work folder `--check`.
        (
            ["--workdir", "--check"],
            "--workdir needs a value; for one that begins with a dash write --workdir=--check",
        ),
    ],
)
def test_a_wrong_flag_is_said_in_plain_words(arguments, words, capsys):
    more = [] if not arguments or "--w" in arguments[0] else ["--workdir=x"]
    assert command.call(define_flags, lambda *_: 0, "Doc.", [*arguments, *more]) == 2
    said = capsys.readouterr().err.strip()
    assert said == f"error: {words}"
    assert "None" not in said and "Flag" not in said


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--workdir=--check"], ("--check", False, [])),
        (["--check", "--workdir", "x y"], ("x y", True, [])),
        (["--workdir", "-", "a"], ("-", False, ["a"])),
        (["--workdir=x", "--", "--workdir", "--check"], ("x", False, ["--workdir", "--check"])),
    ],
)
def test_values_that_begin_with_a_dash_are_values(arguments, expected):
    seen = []

    def main(flag_values, rest):
        seen.append((flag_values.workdir, flag_values.check, rest))

    assert command.call(define_flags, main, "Doc.", arguments) == 0
    assert seen == [expected]


def test_flags_behind_two_dashes_belong_to_another_command(capsys):
    seen = []
    arguments = ["--workdir=x", "--", "--help", "--version"]
    status = command.call(define_flags, lambda _, rest: seen.extend(rest), "Doc.", arguments)
    assert (status, seen) == (0, ["--help", "--version"])
    assert capsys.readouterr().out == ""


def test_the_home_folder_is_put_in_where_no_shell_does(monkeypatch):
    """As in `--workdir=~/runs/x`, which shells leave as it is."""
    monkeypatch.setenv("HOME", "/home/me")
    seen = {}

    def define(flag_values):
        flags.DEFINE_list("workdir", [], "Folders.", flag_values=flag_values)
        flags.DEFINE_multi_string("config_override", [], "Settings.", flag_values=flag_values)

    def main(flag_values, rest):
        seen.update(workdir=flag_values.workdir, config=flag_values.config_override, rest=rest)

    arguments = ["--workdir=~/a,~/b,x/~/c,~", "--config.data_dir=~/d", "~", "--", "--other=~/e"]
    assert command.call(define, main, "Doc.", arguments) == 0
    assert seen == {
        "workdir": ["/home/me/a", "/home/me/b", "x/~/c", "/home/me"],
        "config": ["data_dir=/home/me/d"],
        "rest": ["~", "--other=~/e"],
    }


def test_print_config_shows_what_config_json_would_hold(capsys):
    arguments = ["--config=demo", "--config.batch_size=7", "--print_config"]
    assert command.call(train.define_flags, train.main, train.__doc__, arguments) == 0
    printed = json.loads(capsys.readouterr().out)
    expected = recipes.resolve(recipes.load("demo"), [("batch_size", "7")])
    assert printed == recipes.to_dict(expected)
    assert printed["batch_size"] == 7 and printed["network"]["filters"] == [32, 64, 96]


def test_only_what_can_be_run_is_a_command(tmp_path):
    (tmp_path / "makes.py").write_text(
        '"""Makes it.\n\nMore."""\n\nif __name__ == "__main__":\n    1\n'
    )
    (tmp_path / "helper.py").write_text('"""Helps."""\n')
    (tmp_path / "_hidden.py").write_text('"""No."""\n\nif __name__ == "__main__":\n    1\n')
    assert command_list.commands([str(pathlib.Path(tmp_path))]) == {"makes": "Makes it."}


def test_a_root_without_a_temporary_folder_is_one_line(monkeypatch, capsys):
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: ["/not/there"])
    assert command.call(lambda _: None, lambda *_: tempfile.gettempdir(), "Doc.", []) == 1
    assert capsys.readouterr().err == (
        "error: No usable temporary directory found in ['/not/there']; set TMPDIR to a folder "
        "that can be written\n"
    )


@pytest.mark.parametrize("module", ["alexnet_tf", "data_prep"])
def test_a_reader_of_stdout_that_is_gone_is_one_line(module):
    """As in `python -m alexnet_tf | true`."""
    script = f"set -o pipefail; {sys.executable} -m {module} | true"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "error: stdout cannot be written: Broken pipe\n"
