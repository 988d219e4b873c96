"""The manifest and the batch script in deploy/, read and run as far as one machine can."""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys

import pytest
import yaml
from absl import flags

from alexnet_common import command, signals
from alexnet_tf import config as recipes
from alexnet_tf import train
from alexnet_tf.devices import cluster


@pytest.fixture(scope="module")
def manifest(repository):
    text = (repository / "deploy" / "kubernetes.yaml").read_text()
    return {document["kind"]: document for document in yaml.safe_load_all(text)}


@pytest.fixture(scope="module")
def container(manifest):
    (found,) = manifest["Job"]["spec"]["template"]["spec"]["containers"]
    return found


def test_pods_find_one_another(manifest, container):
    """<job>-<index>.<subdomain> is how Kubernetes names the pods of an Indexed Job."""
    job, service = manifest["Job"], manifest["Service"]
    pod = job["spec"]["template"]["spec"]
    assert job["spec"]["completionMode"] == "Indexed"
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["publishNotReadyAddresses"] is True
    assert pod["subdomain"] == service["metadata"]["name"]
    assert service["spec"]["selector"] == {"job-name": job["metadata"]["name"]}
    workers = job["spec"]["completions"]
    assert job["spec"]["parallelism"] == workers
    assert {"name": "WORKERS", "value": str(workers)} in container["env"]
    name = f"{job['metadata']['name']}-2.{pod['subdomain']}:{service['spec']['ports'][0]['port']}"
    assert environment_of_pod(container, 2, workers).workers[2] == name


def environment_of_pod(container, index, workers):
    """What the entry command sets: it is run with `env` in place of the trainer."""
    found = subprocess.run(
        [*container["command"], "env"],
        env={
            "PATH": os.environ["PATH"],
            "WORKERS": str(workers),
            "JOB_COMPLETION_INDEX": str(index),
        },
        check=True,
        capture_output=True,
        text=True,
    )
    lines = dict(line.split("=", 1) for line in found.stdout.splitlines() if "=" in line)
    return cluster.resolve(lines)


@pytest.mark.parametrize("workers", [1, 4])
def test_the_entry_command_sets_tf_config(container, workers):
    for index in range(workers):
        found = environment_of_pod(container, index, workers)
        assert found.index == index
        assert found.workers == tuple(f"alexnet-{n}.alexnet:2222" for n in range(workers))


def test_the_entry_command_becomes_the_trainer(container):
    """SIGTERM reaches the process itself, not a shell in front of it."""
    process = subprocess.Popen(
        [*container["command"], "sleep", "60"],
        env={"PATH": os.environ["PATH"], "WORKERS": "1", "JOB_COMPLETION_INDEX": "0"},
    )
    process.terminate()
    assert process.wait(10) == -signal.SIGTERM


def test_lost_pods_come_back_and_wrong_usage_does_not(manifest):
    spec = manifest["Job"]["spec"]
    # Kubernetes accepts a podFailurePolicy with this restart policy only.
    assert spec["template"]["spec"]["restartPolicy"] == "Never"
    rules = spec["podFailurePolicy"]["rules"]
    actions = {
        status: rule["action"]
        for rule in rules
        for status in rule.get("onExitCodes", {}).get("values", [])
    }
    assert actions == {signals.EXIT_STATUS: "Ignore", 2: "FailJob"}
    assert any("onPodConditions" in rule for rule in rules)


def test_the_volumes_are_there(manifest, container):
    pod = manifest["Job"]["spec"]["template"]["spec"]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    paths = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    assert set(paths.values()) == set(volumes)
    claim = volumes[paths["/runs"]]["persistentVolumeClaim"]["claimName"]
    assert claim == manifest["PersistentVolumeClaim"]["metadata"]["name"]
    assert manifest["PersistentVolumeClaim"]["spec"]["accessModes"] == ["ReadWriteMany"]


def check_trainer_arguments(arguments):
    """The flags and settings exist, and train on several workers."""
    values = flags.FlagValues()
    train.define_flags(values)
    command._parse(values, arguments)
    assert recipes.from_flags(values).distribution == "multi_worker"


def test_the_trainer_understands_its_arguments(container):
    assert container["args"][:3] == ["python", "-m", "alexnet_tf.train"]
    check_trainer_arguments(container["args"][3:])


# Stand-ins for Slurm's commands, in Bourne shell.
SRUN = """#!/bin/sh
echo "$@" >> "$NOTES/srun.log"
if [ -n "${SIGNALLED:-}" ]; then
  trap 'exit 75' TERM
  touch "$NOTES/started"
  # Not for ever, in case that nobody signals it.
  for _ in $(seq 600); do sleep 0.05; done
fi
exit "${STATUS:-0}"
"""
SCONTROL = """#!/bin/sh
echo "$@" >> "$NOTES/scontrol.log"
"""


@pytest.fixture
def slurm(tmp_path, repository):
    """Starts the script as Slurm would, with the stand-ins in front."""
    for name, text in (("srun", SRUN), ("scontrol", SCONTROL)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)

    def start(**environment):
        return subprocess.Popen(
            ["bash", str(repository / "deploy" / "slurm.sh"), "--config=demo", "--workdir=a b"],
            env=os.environ
            | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "NOTES": str(tmp_path)}
            | {"SLURM_JOB_ID": "77", "PYTHON": sys.executable}
            | environment,
            stdout=subprocess.PIPE,
            text=True,
        )

    return start


def notes(folder, name):
    path = folder / f"{name}.log"
    return path.read_text().splitlines() if path.exists() else []


@pytest.mark.parametrize(
    ("status", "restarts", "requeued"),
    [
        *[(0, 0, False), (1, 0, True), (137, 3, True), (1, 20, False)],
        *[(2, 0, False), (75, 0, False), (143, 0, False)],
    ],
)
def test_what_is_requeued(slurm, tmp_path, status, restarts, requeued):
    process = slurm(STATUS=str(status), SLURM_RESTART_COUNT=str(restarts))
    process.communicate(timeout=20)
    assert process.returncode == status
    assert notes(tmp_path, "scontrol") == (["requeue 77"] if requeued else [])


@pytest.mark.parametrize(
    ("number", "environment", "requeued"),
    [
        # Near the time limit; preempted or cancelled; preempted where preemption cancels.
        (signal.SIGUSR1, {}, True),
        (signal.SIGTERM, {}, False),
        (signal.SIGTERM, {"REQUEUE_AFTER_SIGTERM": "yes"}, True),
    ],
)
def test_signals(slurm, tmp_path, number, environment, requeued):
    process = slurm(SIGNALLED="yes", **environment)
    while not (tmp_path / "started").exists():
        assert process.poll() is None
    process.send_signal(number)
    if number == signal.SIGTERM:
        # Slurm signals the workers itself; the script must outlive its own.
        children = f"/proc/{process.pid}/task/{process.pid}/children"
        with open(children) as file:
            found = [int(child) for child in file.read().split()]
        # The other one is the script's sleep, which may be gone by now.
        for child in found:
            with contextlib.suppress(OSError):
                if b"srun" in pathlib.Path(f"/proc/{child}/cmdline").read_bytes():
                    os.kill(child, signal.SIGTERM)
    out, _ = process.communicate(timeout=20)
    assert process.returncode == 75, out
    assert notes(tmp_path, "scontrol") == (["requeue 77"] if requeued else [])


def test_the_workers_get_the_arguments(slurm, tmp_path):
    slurm().communicate(timeout=20)
    (line,) = notes(tmp_path, "srun")
    assert line.endswith(
        "-m alexnet_tf.train --config.distribution=multi_worker --config=demo --workdir=a b"
    )
    check_trainer_arguments(["--config.distribution=multi_worker", "--config=demo"])


def test_shellcheck(repository):
    program = shutil.which("shellcheck")
    if not program:
        pytest.skip("needs shellcheck (Debian's package shellcheck)")
    script = str(repository / "deploy" / "slurm.sh")
    found = subprocess.run([program, "--format=json", script], capture_output=True, text=True)
    assert json.loads(found.stdout) == []
