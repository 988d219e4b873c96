"""The machines of a multi-worker run, and which of them this process is.

From TF_CONFIG, as TensorFlow, Kubernetes operators and cloud services set it; else from the
variables that Slurm gives to every task of a job step.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import re
from collections.abc import Mapping, MutableMapping
from typing import Any

from alexnet_common.errors import UserError, one_line

# Below the range from which Linux takes ports for outgoing connections (32768 and up).
FIRST_PORT, PORTS_PER_JOB, JOBS = 20000, 16, 750


class ClusterError(UserError):
    """The environment names no cluster, or a damaged one."""


@dataclasses.dataclass(frozen=True)
class Cluster:
    """Who takes part in a run.

    Attributes:
        workers: "host:port" of every worker, in the order that all of them agree on. The first
            one is the chief: it writes the run's files.
        index: this process' place in `workers`.
        source: where this was read, for the log.
    """

    workers: tuple[str, ...]
    index: int
    source: str

    @property
    def is_chief(self) -> bool:
        """Whether this process writes the run's files."""
        return self.index == 0


def resolve(environment: Mapping[str, str]) -> Cluster:
    """The cluster that environment variables describe: TF_CONFIG first, then Slurm's.

    Raises:
        ClusterError: neither is there, or what is there is damaged or contradicts itself.
    """
    text = environment.get("TF_CONFIG", "").strip()
    if text not in ("", "{}"):
        return _from_tf_config(text)
    if "SLURM_JOB_NODELIST" in environment and "SLURM_PROCID" in environment:
        return _from_slurm(environment)
    raise ClusterError(
        "config.distribution=multi_worker finds no cluster: set TF_CONFIG on every worker, or "
        "start with Slurm's srun; to try it on this machine: "
        "python -m alexnet_tf.launch --workers=2 -- --config=..."
    )


def export(cluster: Cluster, environment: MutableMapping[str, str] = os.environ) -> None:
    """Sets TF_CONFIG, which is where TensorFlow itself looks, and keeps proxies out of the cluster.

    gRPC takes `http_proxy` for the way to the other workers, those on this machine included.
    """
    environment["TF_CONFIG"] = json.dumps(
        {
            "cluster": {"worker": list(cluster.workers)},
            "task": {"type": "worker", "index": cluster.index},
        }
    )
    direct = environment.get("no_grpc_proxy") or environment.get("no_proxy", "")
    hosts = [address.rpartition(":")[0].strip("[]") for address in cluster.workers]
    environment["no_grpc_proxy"] = ",".join(
        dict.fromkeys([*filter(None, direct.split(",")), *hosts])
    )


def _from_tf_config(text: str) -> Cluster:
    try:
        values = json.loads(text)
    except ValueError as error:
        raise ClusterError(f"TF_CONFIG is not valid JSON: {one_line(error)}") from error
    task = values.get("task") if isinstance(values, dict) else None
    jobs = values.get("cluster") if isinstance(values, dict) else None
    if not isinstance(task, dict) or not isinstance(jobs, dict):
        raise ClusterError(
            'TF_CONFIG must look like {"cluster": {"worker": ["host:port", ...]}, '
            '"task": {"type": "worker", "index": 0}}'
        )
    chiefs, workers = _addresses(jobs, "chief"), _addresses(jobs, "worker")
    kind, index = task.get("type"), task.get("index")
    if kind not in ("chief", "worker"):
        raise ClusterError(f"TF_CONFIG: task type must be chief or worker, not {kind!r}")
    own = chiefs if kind == "chief" else workers
    # bool is an int for Python; an index in quotes is a common slip that means what it says.
    number = int(index) if isinstance(index, int | str) and str(index).isdecimal() else -1
    if not 0 <= number < len(own):
        raise ClusterError(
            f"TF_CONFIG: task index must be 0 to {len(own) - 1} ({len(own)} of type {kind}), "
            f"not {index!r}"
        )
    place = number + (len(chiefs) if kind == "worker" else 0)
    return _checked((*chiefs, *workers), place, "TF_CONFIG")


def _addresses(jobs: dict[str, Any], kind: str) -> tuple[str, ...]:
    addresses = jobs.get(kind, [])
    if not isinstance(addresses, list):
        raise ClusterError(f"TF_CONFIG: cluster.{kind} must be a list of host:port")
    return tuple(str(address) for address in addresses)


def _from_slurm(environment: Mapping[str, str]) -> Cluster:
    # A job step may run on a part of the job's nodes; the job's own variables are what remains
    # where srun did not set the step's.
    text = environment.get("SLURM_STEP_NODELIST") or environment["SLURM_JOB_NODELIST"]
    nodes = expand_nodes(text)
    index = _number(environment, "SLURM_PROCID")
    tasks = _number(environment, "SLURM_NTASKS", default=len(nodes))
    job = _number(environment, "SLURM_JOB_ID", default=0)
    layout = environment.get("SLURM_STEP_TASKS_PER_NODE") or environment.get("SLURM_TASKS_PER_NODE")
    counts = _tasks_per_node(layout) if layout else []
    if len(counts) != len(nodes) or sum(counts) != tasks:
        if tasks % len(nodes):
            raise ClusterError(
                f"Slurm: {tasks} tasks on {len(nodes)} nodes; give every node the same number "
                "(sbatch --ntasks-per-node=1)"
            )
        counts = [tasks // len(nodes)] * len(nodes)
    # The same on every task and again after a requeue, and different for jobs that share a node.
    port = FIRST_PORT + job % JOBS * PORTS_PER_JOB
    places = [
        (node, local) for node, count in zip(nodes, counts, strict=True) for local in range(count)
    ]
    if index >= len(places):
        raise ClusterError(f"Slurm: SLURM_PROCID is {index}, and there are {len(places)} tasks")
    if _number(environment, "SLURM_LOCALID", default=places[index][1]) != places[index][1]:
        raise ClusterError("Slurm: tasks are not in node order; use srun --distribution=block")
    workers = tuple(f"{node}:{port + local}" for node, local in places)
    return _checked(workers, index, f"Slurm job {job}")


def _number(environment: Mapping[str, str], name: str, default: int | None = None) -> int:
    text = environment.get(name)
    if text is None and default is not None:
        return default
    if text is None or not text.isdecimal():
        raise ClusterError(f"Slurm: {name} must be a whole number, not {text!r}")
    return int(text)


def _tasks_per_node(text: str) -> list[int]:
    """Slurm's short form: "2(x3),1" is 2, 2, 2, 1."""
    counts = []
    for part in text.split(","):
        match = re.fullmatch(r"(\d+)(?:\(x(\d+)\))?", part)
        if match is None:
            raise ClusterError(f"Slurm: tasks per node {text!r} cannot be read")
        counts += [int(match[1])] * int(match[2] or 1)
    return counts


def expand_nodes(text: str) -> list[str]:
    """The names in Slurm's short form: "n[08-10,7],x" stands for n08, n09, n10, n7, x.

    Raises:
        ClusterError: text that is not of this form.
    """
    names = []
    # Commas inside brackets part ranges, those outside part names.
    for part in re.split(r",(?![^\[]*\])", text.strip()):
        pieces = re.split(r"\[([^\[\]]*)\]", part)
        # Odd pieces stood in brackets; more than one pair gives all combinations.
        choices = [
            _expand_ranges(piece, text) if number % 2 else [piece]
            for number, piece in enumerate(pieces)
        ]
        expanded = ["".join(combination) for combination in itertools.product(*choices)]
        if any(not re.fullmatch(r"[\w.-]+", name) for name in expanded):
            raise ClusterError(f"Slurm: the node list {text!r} cannot be read")
        names += expanded
    return names


def _expand_ranges(ranges: str, text: str) -> list[str]:
    numbers = []
    for part in ranges.split(","):
        match = re.fullmatch(r"(\d+)(?:-(\d+))?", part)
        if match is None or int(match[2] or match[1]) < int(match[1]):
            raise ClusterError(f"Slurm: the node list {text!r} cannot be read")
        width = len(match[1])
        last = int(match[2] or match[1])
        numbers += [f"{number:0{width}d}" for number in range(int(match[1]), last + 1)]
    return numbers


def _checked(workers: tuple[str, ...], index: int, source: str) -> Cluster:
    for address in workers:
        if not re.fullmatch(r".+:\d+", address):
            raise ClusterError(f"{source}: worker {address!r} must be host:port")
    if len(set(workers)) < len(workers):
        twice = next(address for address in workers if workers.count(address) > 1)
        raise ClusterError(f"{source}: worker {twice} is named twice")
    return Cluster(workers, index, source)
