"""Builds the Dockerfile's images and tries them: without a container engine, as on any host.

Example:
  make image-check
  python -m tools.image_check --variants=cpu,gpu,addons --output=image-check.md

Debian's buildah builds in a folder of its own (--storage; 5 GB for cpu, 25 GB for gpu while it
runs, deleted at the end unless --keep), on a base that debootstrap makes, since no registry is
asked. Then containers run as user 1000 without capabilities, with a read-only root and no network:
convert, train, kill and resume to the same bits, stop, two workers, evaluate, export, predict,
serve with the health check. Needs root and, of Debian, buildah and debootstrap; the packages come
from pip's index. Exit status: 0 if everything passed.
"""

from __future__ import annotations

import datetime
import os
import platform
import re
import subprocess
import tempfile
from pathlib import Path

from absl import flags

from alexnet_common import __version__, command, files
from alexnet_common.errors import UsageError, UserError
from alexnet_common.messages import log

VARIANTS = ("cpu", "gpu", "addons")
REPOSITORY = Path(__file__).parent.parent
# In 10^6 bytes: what each variant may have at most. The CUDA packages make the difference.
LARGEST = {"cpu": 1900, "gpu": 7500, "addons": 1800}


def define_flags(flag_values: flags.FlagValues) -> None:
    """Defines the command's flags."""
    flags.DEFINE_list("variants", ["cpu"], "Of cpu, gpu, addons.", flag_values=flag_values)
    flags.DEFINE_string(
        "storage", None, "Folder for images; a temporary one without it.", flag_values=flag_values
    )
    flags.DEFINE_bool(
        "keep", False, "Keep --storage, for another run or for a look.", flag_values=flag_values
    )
    flags.DEFINE_bool(
        "build", True, "--nobuild tries what --storage holds.", flag_values=flag_values
    )
    flags.DEFINE_string("output", None, "Also write the report here.", flag_values=flag_values)


def main(flag_values: flags.FlagValues, arguments: list[str]) -> int:
    """Runs the command."""
    from tools.images import buildah

    if arguments:
        raise UsageError(f"unexpected argument {arguments[0]!r}")
    unknown = [variant for variant in flag_values.variants if variant not in VARIANTS]
    if unknown or not flag_values.variants:
        raise UsageError(f"--variants must be of {', '.join(VARIANTS)}, not {unknown or 'none'}")
    if flag_values.keep and not flag_values.storage:
        raise UsageError("--keep keeps --storage, which is missing")
    buildah.check_usable()
    folder = Path(flag_values.storage or tempfile.mkdtemp(prefix="alexnet-images-"))
    engine = buildah.Buildah(folder)
    lines: list[str] = []
    try:
        engine.make_base(base_name((REPOSITORY / "Dockerfile").read_text()))
        for variant in flag_values.variants:
            lines += check(engine, variant, folder, flag_values.build)
    finally:
        if not flag_values.keep:
            engine.remove()
    report = "\n".join([*head(), *lines]) + "\n"
    print(report, end="")
    if flag_values.output:
        files.write_atomically(flag_values.output, report.encode())
    return 0


def base_name(dockerfile: str) -> str:
    """The base that a Dockerfile names: the default of its argument BASE."""
    match = re.search(r"^ARG BASE=(\S+)$", dockerfile, re.MULTILINE)
    if match is None:
        raise UserError("the Dockerfile does not have the line ARG BASE=IMAGE")
    return match[1]


def check(engine, variant: str, folder: Path, build: bool) -> list[str]:
    """Builds and tries one variant; its part of the report.

    Raises:
        UserError: the build or a check failed, or the image is too large.
    """
    from tools.images import buildah, checks

    image = f"localhost/alexnet-tf:{variant}"
    seconds = 0.0
    if build:
        log(f"{variant}: builds")
        arguments = {"VARIANT": variant, "VERSION": __version__, "REVISION": revision()}
        seconds = engine.build(REPOSITORY, image, arguments)
    config = engine.config(image)
    root = engine.unpack(image)
    size = buildah.megabytes(root)
    packages = buildah.megabytes(root, ["opt/venv"])
    log(f"{variant}: {size} MB unpacked, {packages} of them Python packages")
    if size > LARGEST[variant]:
        raise UserError(f"the image {variant} has {size} MB; {LARGEST[variant]} are allowed")
    with tempfile.TemporaryDirectory(prefix="runs-", dir=folder) as runs:
        os.chmod(runs, 0o755)
        results = checks.run_all(root, config, Path(runs), variant)
    engine.run("rm", "--all")
    lines = ["", f"## {variant}", "", f"{size} MB unpacked, {packages} MB of them Python packages"]
    lines[-1] += f"; built in {seconds:.0f} s." if build else "."
    labels = config.get("Labels") or {}
    lines += [f"- {key}: {value}" for key, value in sorted(labels.items()) if "opencontain" in key]
    lines += ["", "| check | seconds | |", "|---|---|---|"]
    return lines + [f"| {r.name} | {r.seconds:.0f} | {r.note} |" for r in results]


def revision() -> str:
    """The commit of this checkout, for the image's label."""
    done = subprocess.run(
        ["git", "-C", str(REPOSITORY), "rev-parse", "HEAD"],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() or "unknown"


def head() -> list[str]:
    """The report's first lines."""
    return [
        f"# Images, {datetime.date.today().isoformat()}",
        "",
        f"`python -m tools.image_check` on {os.cpu_count()} CPUs, Linux {platform.release()}.",
    ]


if __name__ == "__main__":
    command.run(define_flags, main, __doc__)
