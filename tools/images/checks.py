"""What an image must do: everything a user does, without root, network or a writable root."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from alexnet_common import __version__, signals
from alexnet_common.errors import UserError
from alexnet_tf.runs import checkpoint
from tools.images import container
from tools.images.container import Container

SMALL = ("--train_images_per_class=16", "--validation_images_per_class=4")
TRAIN = (
    *("train", "--config=configs/demo.py", "--config.data_dir=/data"),
    *("--config.network.input_size=32", "--config.network.filters=(8,8,8)"),
    *("--config.network.hidden=16", "--config.batch_size=16", "--config.train_epochs=6"),
    *("--config.checkpoint.every_steps=2", "--quiet"),
)
STEPS = 60
LABELS = ("title", "description", "licenses", "version", "revision", "base.name")
# None of these belongs into what is shipped.
COMPILERS = ("gcc", "cc", "g++", "clang", "make")
CACHES = ("root/.cache", "var/cache/apt/archives/partial", "var/lib/apt/lists/partial", "src")


class CheckFailed(UserError):
    """An image does not do what it must."""


@dataclasses.dataclass(frozen=True)
class Result:
    """A check that passed, with what it measured."""

    name: str
    seconds: float
    note: str


def run_all(root: Path, config: dict, folder: Path, variant: str) -> list[Result]:
    """All checks of an unpacked image, one after another.

    Args:
        root: folder of the image's files.
        config: as `Buildah.config` returns it.
        folder: an empty one; its `runs` and `data` become the volumes /runs and /data.
        variant: gpu, cpu or addons.

    Raises:
        CheckFailed: the first one that failed, with what the command printed.
    """
    for volume in ("runs", "data"):
        (folder / volume).mkdir()
        shutil.chown(folder / volume, int(config["User"]))
    image = Image(root, config, folder, variant)
    results = []
    for check in image.checks():
        began = time.monotonic()
        note = check()
        name = check.__name__.replace("_", " ")
        results.append(Result(name, round(time.monotonic() - began, 1), note))
        print(f"  {name}: {note} ({results[-1].seconds:.0f} s)", flush=True)
    return results


class Image:
    """An unpacked image and the folders that its containers share."""

    def __init__(self, root: Path, config: dict, folder: Path, variant: str):
        self._root, self._config = root, config
        self._runs, self._data = folder / "runs", folder / "data"
        self._variant = variant
        # There is no GPU here, and the image for GPUs says so once, in a check of its own.
        self._container = self._with({"ALEXNET_REQUIRE_GPU": "0"})

    def _with(self, environment: dict[str, str]) -> Container:
        volumes = {"/runs": self._runs, "/data": self._data}
        return Container(self._root, self._config, volumes, environment)

    def checks(self) -> list[Callable[[], str]]:
        """In the order in which they must run."""
        return [
            self.lists_its_commands,
            self.is_closed,
            self.ships_nothing_but_what_runs,
            self.has_a_bill_of_materials,
            self.has_labels,
            *([self.a_forgotten_gpu_is_one_line] if self._variant == "gpu" else []),
            self.converts,
            self.trains,
            self.resumes_after_a_kill_with_the_same_bits,
            self.saves_on_docker_stop,
            self.trains_with_two_workers,
            *([self.trains_with_addons] if self._variant == "addons" else []),
            self.evaluates,
            self.exports_and_predicts,
            self.serves_and_its_health_check_tells,
        ]

    def lists_its_commands(self) -> str:
        """Without arguments, as the Dockerfile's head says."""
        printed = self._expect(0, self._container.run(*self._config["Cmd"])).stdout
        if "alexnet-tf train " not in printed or "alexnet-tf build_tfrecords " not in printed:
            raise CheckFailed(f"no list of commands: {printed}")
        return self._expect(0, self._container.run("--version")).stdout.strip()

    def is_closed(self) -> str:
        """The conditions under which all the rest runs."""
        script = (
            "import os, socket; names = [name for _, name in socket.if_nameindex()]; "
            "assert names == ['lo'], names; assert os.getuid() == 1000 and os.getpid() == 1; "
            "assert 'CapEff:\\t0000000000000000' in open('/proc/self/status').read()\n"
            "for folder in ('/', '/opt/alexnet-tf', '/opt/venv', '/usr', '/var/tmp'):\n"
            "    try: open(os.path.join(folder, 'x'), 'w'); raise SystemExit(folder)\n"
            "    except OSError as error: assert error.errno in (13, 30), error\n"
        )
        self._expect(0, self._python(script))
        return "user 1000, no capabilities, read-only root, loopback alone"

    def ships_nothing_but_what_runs(self) -> str:
        """No pip in the environment, no compiler, no cache."""
        folders = [self._root / "usr/bin", self._root / "opt/venv/bin"]
        names = [path.name for folder in folders for path in folder.iterdir()]
        found = [name for name in names if name in COMPILERS]
        found += [path for path in CACHES if _files(self._root / path)]
        found += ["pip in /opt/venv"] if (self._root / "opt/venv/bin/pip").exists() else []
        if found:
            raise CheckFailed(f"the image has {', '.join(found)}")
        return "no compiler, no cache, no pip beside the packages"

    def has_a_bill_of_materials(self) -> str:
        """Every installed package stands in it with its version, our own aside."""
        bill = json.loads((self._root / "opt/venv/sbom.cdx.json").read_text())
        listed = {part["name"].lower(): part["version"] for part in bill["components"]}
        script = (
            "import importlib.metadata as m, json; "
            "print(json.dumps({d.name.lower(): d.version for d in m.distributions("
            "path=['/opt/venv/lib/python3.11/site-packages'])}))"
        )
        installed = json.loads(self._expect(0, self._python(script)).stdout)
        del installed["alexnet-tf"]
        missing = {name for name in installed if listed.get(name) != installed[name]}
        if missing:
            raise CheckFailed(f"the bill of materials lacks {', '.join(sorted(missing))}")
        return f"CycloneDX {bill['specVersion']}, {len(listed)} packages"

    def has_labels(self) -> str:
        """What it is, of which version and commit, on which base."""
        labels = self._config.get("Labels") or {}
        found = {key: labels.get(f"org.opencontainers.image.{key}", "") for key in LABELS}
        missing = [key for key, value in found.items() if value in ("", "unknown")]
        if missing:
            raise CheckFailed(f"the image does not have the labels {', '.join(missing)}")
        if found["version"] != __version__:
            raise CheckFailed(f"labelled as version {found['version']}, this is {__version__}")
        return ", ".join(LABELS)

    def a_forgotten_gpu_is_one_line(self) -> str:
        """Of an image for GPUs, without `--gpus all`."""
        arguments = ["--config.synthetic_data=True", "--workdir=/runs/none"]
        done = self._expect(1, self._with({}).run("train", "--config=configs/demo.py", *arguments))
        (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
        if "--gpus all" not in line:
            raise CheckFailed(f"what to do is not said: {line}")
        return line

    def converts(self) -> str:
        """Pictures, then TFRecords into a volume: a folder that nothing can be put beside."""
        draw = ["make-demo-images", "--output_dir=/runs/images", *SMALL]
        self._expect(0, self._container.run(*draw))
        convert = [f"--{split}=/runs/images/{split}" for split in ("train", "validation")]
        convert += ["--image_size=40", "--output_dir=/data"]
        self._expect(0, self._container.run("build-tfrecords", *convert))
        document = json.loads((self._data / "dataset.json").read_text())
        return f"{document['splits']['train']['count']} images to train with"

    def trains(self) -> str:
        """To the end, report included."""
        self._expect(0, self._container.run(*TRAIN, "--workdir=/runs/undisturbed"))
        if not (self._runs / "undisturbed/report.html").is_file():
            raise CheckFailed("no report.html")
        return f"{_newest(self._runs / 'undisturbed').state['step']} steps, with report"

    def resumes_after_a_kill_with_the_same_bits(self) -> str:
        """`docker kill`, then the same command."""
        step = self._stop_in_the_middle("killed", signal.SIGKILL)
        self._expect(0, self._container.run(*TRAIN, "--workdir=/runs/killed"))
        return f"killed after step {step}; {self._same('killed')}"

    def saves_on_docker_stop(self) -> str:
        """SIGTERM to process 1, then the same command."""
        step = self._stop_in_the_middle("stopped", signal.SIGTERM)
        self._expect(0, self._container.run(*TRAIN, "--workdir=/runs/stopped"))
        return f"stopped after step {step} with status 75; {self._same('stopped')}"

    def trains_with_two_workers(self) -> str:
        """Over loopback."""
        launch = ["launch", "--workers=2", "--", *TRAIN[1:], "--workdir=/runs/workers"]
        self._expect(0, self._container.run(*launch))
        return f"{_newest(self._runs / 'workers').state['step']} steps"

    def trains_with_addons(self) -> str:
        """With the optimizer that only tensorflow-addons has."""
        sgdw = ["--config.optimizer.name=sgdw", "--config.train_epochs=1", "--workdir=/runs/sgdw"]
        self._expect(0, self._container.run(*TRAIN, *sgdw))
        return f"{_newest(self._runs / 'sgdw').state['step']} steps of tfa.optimizers.SGDW"

    def evaluates(self) -> str:
        """1 and 10 views."""
        self._expect(
            0,
            self._container.run(
                "evaluate", "--workdir=/runs/undisturbed", "--output=/runs/evaluation.json"
            ),
        )
        json.loads((self._runs / "evaluation.json").read_text())
        return "evaluation.json written"

    def exports_and_predicts(self) -> str:
        """A SavedModel, and an answer from it."""
        export = ["export", "--workdir=/runs/undisturbed", "--output_dir=/runs/export"]
        self._expect(0, self._container.run(*export))
        done = self._container.run("predict", "--model=/runs/export", self._picture())
        self._expect(0, done)
        return "one picture labelled"

    def serves_and_its_health_check_tells(self) -> str:
        """Healthy while it serves, an answer to a picture, and an end on `docker stop`."""
        check = self._config["Healthcheck"]["Test"]
        if check[0] != "CMD":
            raise CheckFailed(f"the health check needs a shell: {check}")
        process = self._container.start("serve", "--model=/runs/export", "--host=0.0.0.0")
        try:
            began = time.monotonic()
            unhealthy = 0
            while self._container.execute(process, *check[1:]).returncode:
                unhealthy += 1
                if time.monotonic() - began > container.PATIENCE_SECONDS:
                    raise CheckFailed("the server is never healthy")
            healthy = time.monotonic() - began
            if not unhealthy:
                raise CheckFailed("the health check passed before there was a server")
            script = (
                "import urllib.request as u; body = open('" + self._picture() + "', 'rb').read(); "
                "print(u.urlopen(u.Request('http://127.0.0.1:8501/predict', body)).read().decode())"
            )
            ask = self._container.execute(process, "python", "-c", script)
            if len(json.loads(self._expect(0, ask).stdout)["results"][0]["top_5"]) != 5:
                raise CheckFailed(f"no answer: {ask.stdout}")
            container.send(process, signal.SIGTERM)
            _, errors = process.communicate(timeout=60)
        finally:
            process.kill()
        if process.returncode != 0:
            raise CheckFailed(f"the server ended with status {process.returncode}: {errors}")
        return f"healthy {healthy:.0f} s after its start, not before; 1 picture answered"

    def _picture(self) -> str:
        picture = next((self._runs / "images/validation").rglob("*.JPEG"))
        return f"/runs/{picture.relative_to(self._runs)}"

    def _python(self, script: str) -> subprocess.CompletedProcess[str]:
        return self._container.run("-c", script, entrypoint=["python"])

    def _stop_in_the_middle(self, name: str, number: signal.Signals) -> int:
        """Trains until there is a checkpoint, sends a signal, and returns the newest one's step."""
        folder = self._runs / name
        process = self._container.start(*TRAIN, f"--workdir=/runs/{name}")
        try:
            end = time.monotonic() + container.PATIENCE_SECONDS
            while not checkpoint.steps(folder / "checkpoints"):
                if process.poll() is not None or time.monotonic() > end:
                    raise CheckFailed(f"no checkpoint: {process.communicate()[1]}")
                time.sleep(0.005)
            container.send(process, number)
            _, errors = process.communicate(timeout=container.PATIENCE_SECONDS)
        finally:
            process.kill()
        # Of a process that SIGKILL ended, unshare's own status depends on its version.
        if number != signal.SIGKILL and process.returncode != signals.EXIT_STATUS:
            raise CheckFailed(f"status {process.returncode}: {errors}")
        step = _newest(folder).state["step"]
        if step >= STEPS:
            raise CheckFailed("it ended before the signal came")
        return step

    def _same(self, name: str) -> str:
        one, two = (_newest(self._runs / run) for run in ("undisturbed", name))
        arrays = 0
        for part in ("weights", "optimizer"):
            first, second = getattr(one, part), getattr(two, part)
            if first.keys() != second.keys() or not first:
                raise CheckFailed("the checkpoints hold other variables")
            for key, array in first.items():
                arrays += 1
                if array.tobytes() != second[key].tobytes():
                    raise CheckFailed(f"{key} differs from the undisturbed run")
        if one.state != two.state:
            raise CheckFailed(f"the state differs: {one.state} and {two.state}")
        return f"{arrays} arrays of the last checkpoint equal bit for bit"

    def _expect(
        self, status: int, done: subprocess.CompletedProcess[str]
    ) -> subprocess.CompletedProcess[str]:
        if done.returncode != status:
            raise CheckFailed(
                f"status {done.returncode}, not {status}, of {' '.join(done.args)}:\n"
                f"{done.stdout[-1000:]}{done.stderr[-3000:]}"
            )
        return done


def _newest(workdir: Path) -> checkpoint.Checkpoint:
    found = checkpoint.load_newest(workdir / "checkpoints")
    if found is None:
        raise CheckFailed(f"{workdir.name} has no checkpoint")
    return found


def _files(folder: Path) -> list[str]:
    return [name for _, _, names in os.walk(folder) for name in names]
