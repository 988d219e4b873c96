"""The package definition: commands that exist, recipes in the wheel, constraints that fit."""

import importlib
import os
import pathlib
import re
import runpy
import shutil
import subprocess
import sys
import tarfile
import zipfile
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

import alexnet_common
import alexnet_tf
import data_prep
from alexnet_common import command_list
from tests.helpers import documented
from tests.helpers.python_path import extended

PACKAGES = ("alexnet_common", "alexnet_tf", "data_prep")
SHIPPED = [
    "setup.py",
    "pyproject.toml",
    "README.md",
    "CHANGELOG.md",
    "LICENSE",
    "MANIFEST.in",
    "alexnet_common",
    "alexnet_tf",
    "data_prep",
    "configs",
]


@pytest.fixture(scope="module")
def definition(repository: pathlib.Path) -> dict[str, Any]:
    """The arguments that setup.py hands to setuptools."""
    setuptools = pytest.importorskip("setuptools")
    captured: dict[str, Any] = {}
    directory = os.getcwd()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(setuptools, "setup", lambda **arguments: captured.update(arguments))
        try:
            os.chdir(repository)
            runpy.run_path("setup.py")
        finally:
            os.chdir(directory)
    return captured


def commands(definition: dict[str, Any]) -> dict[str, str]:
    return dict(line.split("=") for line in definition["entry_points"]["console_scripts"])


def pinned(repository: pathlib.Path, stack: str) -> dict[str, Version]:
    versions = {}
    for line in (repository / "constraints" / f"{stack}.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            name, separator, version = line.partition("==")
            assert separator, f"constraints/{stack}.txt: not an exact version: {line!r}"
            versions[re.sub(r"[-_.]+", "-", name).lower()] = Version(version)
    return versions


def test_every_console_command_has_its_function(definition: dict[str, Any]) -> None:
    assert len(commands(definition)) >= 8
    for name, target in commands(definition).items():
        module, function = target.split(":")
        assert callable(getattr(importlib.import_module(module), function)), name


def test_every_command_has_a_console_script(definition: dict[str, Any]) -> None:
    expected = {
        f"alexnet-{name.replace('_', '-')}": f"{package.__name__}.{name}:run"
        for package in (alexnet_tf, data_prep)
        for name in command_list.commands(package.__path__)
    }
    expected["alexnet-tf"] = "alexnet_tf.__main__:run"
    assert commands(definition) == expected


def test_every_package_folder_is_shipped(
    definition: dict[str, Any], repository: pathlib.Path
) -> None:
    shipped = set(definition["packages"])
    for top in ("alexnet_tf", "data_prep"):
        for file in (repository / top).rglob("*.py"):
            folder = file.parent.relative_to(repository)
            package = ".".join(folder.parts)
            assert package in shipped, f"{folder} holds {file.name} but has no __init__.py"


@pytest.mark.parametrize(
    ("stack", "extras", "expected"),
    [
        ("main", [], {"tensorflow": "2.21", "keras": "3.12", "numpy": "2.0"}),
        ("addons", ["addons"], {"tensorflow": "2.15.1", "keras": "2.15", "numpy": "1.26"}),
    ],
)
def test_constraints_satisfy_the_requirements(
    definition: dict[str, Any],
    repository: pathlib.Path,
    stack: str,
    extras: list[str],
    expected: dict[str, str],
) -> None:
    versions = pinned(repository, stack)
    requirements = [*definition["install_requires"]]
    for extra in [*extras, "test"]:
        requirements += definition["extras_require"][extra]
    for requirement in map(Requirement, requirements):
        name = re.sub(r"[-_.]+", "-", requirement.name).lower()
        assert requirement.specifier.contains(versions[name]), f"{requirement} in {stack}.txt"
    for name, least in expected.items():
        assert versions[name] >= Version(least)
        assert versions[name].major == Version(least).major


@pytest.mark.parametrize("version", ["2.16.1", "2.17.0", "2.18.1", "2.19.0", "2.20.0", "2.22.0"])
def test_untested_tensorflow_versions_are_refused(definition: dict[str, Any], version: str) -> None:
    requirements = {r.name: r for r in map(Requirement, definition["install_requires"])}
    assert not requirements["tensorflow"].specifier.contains(version)


def test_shell_scripts_are_executable_and_parse(repository: pathlib.Path) -> None:
    scripts = [repository / ".ci" / "run", *sorted((repository / "tools").glob("*.sh"))]
    assert len(scripts) >= 3
    for script in scripts:
        assert os.access(script, os.X_OK), script
        subprocess.run(["bash", "-n", str(script)], check=True)


@pytest.fixture(scope="module")
def built(repository: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A folder with the sdist and the wheel built from it, offline."""
    setuptools = pytest.importorskip("setuptools")
    if Version(setuptools.__version__) < Version("77"):
        pytest.skip(f"building the wheel needs setuptools 77, here is {setuptools.__version__}")
    # From a copy, so that the checkout gains no build folder.
    source = tmp_path_factory.mktemp("source")
    for name in SHIPPED:
        path = repository / name
        if path.is_dir():
            shutil.copytree(path, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif path.exists():
            shutil.copy(path, source / name)
    target = tmp_path_factory.mktemp("built")
    run(sys.executable, "setup.py", "--quiet", "sdist", f"--dist-dir={target}", cwd=source)
    (sdist,) = target.glob("*.tar.gz")
    pip("wheel", "--no-deps", "--no-build-isolation", f"--wheel-dir={target}", str(sdist))
    return target


@pytest.fixture(scope="module")
def wheel(built: pathlib.Path) -> pathlib.Path:
    (path,) = built.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(
    wheel: pathlib.Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[pathlib.Path, dict[str, str]]:
    """Where the wheel is installed, and the environment that finds it there."""
    site = tmp_path_factory.mktemp("installed") / "site"
    pip("install", "--no-deps", "--target", str(site), str(wheel))
    return site, {**os.environ, "PYTHONPATH": extended(site)}


def run(*command: str, **options: Any) -> str:
    """The command's stdout; what it says on stderr is in the failure."""
    done = subprocess.run(command, capture_output=True, text=True, **options)
    assert done.returncode == 0, f"{command}: {done.stderr[-2000:]}"
    return done.stdout


def pip(*arguments: str) -> None:
    run(sys.executable, "-m", "pip", arguments[0], "--quiet", "--no-index", *arguments[1:])


def test_wheel_carries_the_recipes_and_only_its_own_names(
    wheel: pathlib.Path, repository: pathlib.Path
) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    modules = {name for name in names if ".dist-info/" not in name}
    assert {name.split("/")[0] for name in modules} == set(PACKAGES)
    for recipe in (repository / "configs").glob("*.py"):
        assert f"alexnet_tf/configs/{recipe.name}" in names
    for top in PACKAGES:
        for module in (repository / top).rglob("*.py"):
            assert module.relative_to(repository).as_posix() in names
        assert f"{top}/py.typed" in names
    assert any(name.endswith("LICENSE") for name in names)


def test_sdist_carries_what_a_wheel_is_made_of(built: pathlib.Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"README.md", "LICENSE", "CHANGELOG.md", "setup.py", "pyproject.toml"} <= names
    assert not [name for name in names if name.startswith(("tests/", "docs/"))]


def test_the_version_is_in_one_place(wheel: pathlib.Path, repository: pathlib.Path) -> None:
    version = alexnet_common.__version__
    assert wheel.name.split("-")[1] == version
    heading = re.search(r"^## (\S+)", (repository / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert heading and heading[1] == version
    citing = [
        path.name
        for path in [repository / "pyproject.toml", repository / "setup.py"]
        if f'"{version}"' in path.read_text()
    ]
    assert citing == []


@pytest.mark.slow
def test_recipes_load_from_the_installed_wheel(
    installed: tuple[pathlib.Path, dict[str, str]], tmp_path: pathlib.Path
) -> None:
    site, environment = installed
    code = (
        "import alexnet_tf; from alexnet_tf import recipes;"
        "print(alexnet_tf.__file__, recipes.load('demo').num_classes)"
    )
    shown = run(sys.executable, "-c", code, cwd=tmp_path, env=environment)
    assert shown.startswith(str(site))


# What makes a page's commands short enough for a test.
SHORTER = {
    "data_prep.build_tfrecords": ["--image_size=112", "--workers=1"],
    "alexnet_tf.train": ["--config.train_steps=2", "--config.batch_size=8"],
}


@pytest.mark.slow
def test_the_tutorial_runs_from_the_installed_wheel(
    installed: tuple[pathlib.Path, dict[str, str]],
    definition: dict[str, Any],
    repository: pathlib.Path,
    tmp_path: pathlib.Path,
) -> None:
    """The commands of docs/own_photos.md, in their order, outside of the checkout."""
    site, environment = installed
    assert {path.name for path in (site / "bin").iterdir()} >= set(commands(definition))
    images = tmp_path / "images"
    run(
        *(str(site / "bin" / "alexnet-make-demo-images"), f"--output_dir={images}"),
        *("--train_images_per_class=10", "--validation_images_per_class=1"),
        cwd=tmp_path,
        env=environment,
    )
    (images / "train").rename(tmp_path / "photos")
    for number, name in enumerate(("photo.jpg", "other.png")):
        shutil.copy(sorted((images / "validation").rglob("*.JPEG"))[number], tmp_path / name)
    page = (repository / "docs" / "own_photos.md").read_text()
    shown = [command for command in documented.commands(page) if not command.not_run]
    assert len(shown) >= 8
    for command in shown:
        # The paper's network takes minutes on a processor; the page names the small one, too.
        arguments = [part.replace("alexnet_paper", "demo") for part in command.arguments]
        more = SHORTER.get(command.module, [])
        out = run(
            *(sys.executable, "-m", command.module, *arguments, *more),
            cwd=tmp_path,
            env=environment,
        )
        if command.module == "alexnet_tf.predict":
            # Hardly trained, it may say anything, but of the classes that there are.
            classes = [path.name for path in (tmp_path / "photos").iterdir()]
            assert any(name in out for name in classes), out
    assert (tmp_path / "runs" / "photos" / "report.html").is_file()
    assert list((tmp_path / "analysis").iterdir())


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_make_installs_extras_that_an_environment_lacks(
    repository: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """With a Python that only notes what pip is asked for."""
    for name in ("Makefile", "setup.py", "constraints", "tools"):
        path = repository / name
        (shutil.copytree if path.is_dir() else shutil.copy)(path, tmp_path / name)
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\n[ "$1" = - ] || echo "$5" >>asked\n')
    python.chmod(0o755)

    def asked(*arguments: str) -> list[str]:
        (tmp_path / "asked").write_text("")
        command = ["make", "env", *arguments]
        # Not those of a make that runs this test.
        environment = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "EXTRAS")}
        subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True)
        return (tmp_path / "asked").read_text().split()

    assert asked() == [".[dev]"]
    assert asked() == []
    assert asked("EXTRAS=gpu") == [".[dev,gpu]"]
    assert asked("EXTRAS=gpu") == asked() == []
    # What is there stays, also when the packaging files change.
    assert asked("EXTRAS=benchmark") == [".[dev,benchmark,gpu]"]
    os.utime(tmp_path / "setup.py", (4e9, 4e9))
    assert sorted(asked()[0][2:-1].split(",")) == ["benchmark", "dev", "gpu"]
