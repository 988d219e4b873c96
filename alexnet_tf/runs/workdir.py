"""The work folder of a run: what lies where, who may write, and that it is the same run.

config.json  metrics.jsonl  checkpoints/  best/  dataset/  tensorboard/
environment.json  report.html

`dataset/` holds the facts of the training dataset (`runs.dataset_copy`), which may move away later.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from pathlib import Path
from typing import Any

from alexnet_common import files
from alexnet_common.errors import UserError
from alexnet_common.messages import log
from alexnet_tf import recipes
from alexnet_tf.recipes import ConfigDict
from alexnet_tf.runs import checkpoint, definition_copy
from alexnet_tf.settings.catalog import resume_of
from alexnet_tf.settings.setting import Resume

LOCK_FILE = ".lock"
# What a run without a checkpoint has left is of no use to the next one, and may contradict it.
NOTHING_WITHOUT_CHECKPOINT = ("dataset", "definition", "tensorboard", "checkpoints", "best")
# May lie in a folder that holds no run yet.
OWN_NAMES = (LOCK_FILE,)


class WorkFolder:
    """Paths of a run's files, and the checks that keep two runs apart.

    Args:
        folder: made when it is claimed.
        lock: refuse to claim it while another process has it. False: the program that starts
            the processes takes care of that, on a file system without locks.
    """

    def __init__(self, folder: str | os.PathLike[str], lock: bool = True):
        self.folder = Path(folder)
        self._wants_lock = lock
        self.config_file = self.folder / "config.json"
        self.metrics_file = self.folder / "metrics.jsonl"
        self.checkpoints = self.folder / "checkpoints"
        self.best = self.folder / "best"
        self.tensorboard = self.folder / "tensorboard"
        self._lock: int | None = None

    def open(self, config: ConfigDict) -> None:
        """Claims the folder for a run with this config, kept as `config.json` where it is new.

        Where a run goes on, `keep` follows when nothing else speaks against that. One that ended
        before its first checkpoint has nothing to go on from: any config may begin in its place.

        Raises:
            UserError: another process trains here, the folder belongs to something else, or it
                holds a run with another config (the keys that differ are named).
        """
        self.claim()
        if not self.config_file.exists():
            if any(path.name not in OWN_NAMES for path in self.folder.iterdir()):
                raise UserError(
                    f"{self.folder} is not empty and holds no run (no config.json); "
                    "use a new or empty --workdir"
                )
            self.keep(config)
        elif self.has_checkpoint():
            self._check_same_run(config)
        else:
            self._begin_anew(config)

    def _check_same_run(self, config: ConfigDict) -> None:
        changed = recipes.differences(recipes.to_dict(self.load_config()), recipes.to_dict(config))
        changed = [one for one in changed if not definition_copy.only_moved(*one)]
        lines = [str(one) for one in changed if resume_of(one.key) is Resume.REFUSED]
        if lines:
            more = f" (and {len(lines) - 5} more)" if len(lines) > 5 else ""
            raise UserError(
                f"{self.folder} holds a run with another config: {'; '.join(lines[:5])}{more}; "
                "use another --workdir, or the same config to resume"
            )
        moved = [str(one) for one in changed if resume_of(one.key) is Resume.ROUNDING]
        if moved:
            log(
                f"note: computed otherwise than before ({'; '.join(moved)}): the same run up "
                "to floating-point rounding, no longer bit for bit"
            )

    def _begin_anew(self, config: ConfigDict) -> None:
        log(f"note: the run in {self.folder} ended before its first checkpoint; it begins anew")
        for name in NOTHING_WITHOUT_CHECKPOINT:
            shutil.rmtree(self.folder / name, ignore_errors=True)
        self.metrics_file.unlink(missing_ok=True)
        self.keep(config)

    def has_checkpoint(self) -> bool:
        """Whether there is a checkpoint, be it damaged."""
        return bool(checkpoint.steps(self.checkpoints) or checkpoint.steps(self.best))

    def keep(self, config: ConfigDict) -> None:
        """Writes the config with which the run goes on."""
        values = recipes.to_dict(config)
        text = json.dumps(values, indent=2, sort_keys=True) + "\n"
        files.write_atomically(self.config_file, text.encode())

    def claim(self) -> None:
        """Takes the folder, made if needed; raises UserError where another process has it."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise UserError(f"--workdir {self.folder} is not a folder") from error
        if not self._wants_lock:
            return
        descriptor = os.open(self.folder / LOCK_FILE, os.O_CREAT | os.O_RDWR, 0o644)
        try:
            # Held until this process ends, however it ends.
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(descriptor)
            raise UserError(
                f"another process is training in {self.folder}; wait for it, stop it, or use "
                "another --workdir"
            ) from error
        except OSError as error:
            os.close(descriptor)
            raise UserError(
                f"{self.folder} cannot be locked against a second process ({error.strerror}): its "
                "file system has no locks (Lustre wants the mount option flock, NFS a lock "
                "daemon); --nolock trains without one, where no other process uses that folder"
            ) from error
        self._lock = descriptor

    def __enter__(self) -> WorkFolder:
        """For `with`: the folder is given up at the end, also for another run in this process."""
        return self

    def __exit__(self, *_: object) -> None:
        """Gives the folder up."""
        self.release()

    def release(self) -> None:
        """Lets another run open the folder, in this process or another."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def load_config(self) -> ConfigDict:
        """The run's resolved config; keys that are younger than the run have their defaults.

        Raises:
            UserError: the folder is not a run's, or its config.json is damaged.
        """
        if not self.folder.is_dir():
            raise UserError(f"{self.folder} does not exist; expected the work folder of a run")
        if not self.config_file.is_file():
            raise UserError(
                f"{self.folder} holds no run (no config.json); expected the work folder of a run"
            )
        try:
            values = json.loads(self.config_file.read_text())
            return recipes.from_dict(recipes.completed(values))
        except (ValueError, AttributeError) as error:
            raise UserError(f"{self.config_file} is damaged: {error}") from error

    def checkpoint_folder(self, which: str) -> Path:
        """Where the "best" checkpoint lies, or the "newest" ones do."""
        return self.best if which == "best" else self.checkpoints

    def load_weights(self, variables: dict[str, Any], which: str) -> dict[str, Any]:
        """Sets a model's variables from this run, and returns the checkpoint's state.

        Args:
            variables: by name, as `model.build.named_variables` returns them.
            which: "best" (lowest validation error so far) or "newest".

        Raises:
            UserError: the run has no such checkpoint yet, or it is of another network.
        """
        loaded = self.load_checkpoint(which)
        checkpoint.assign_weights(variables, loaded.weights, str(self.checkpoint_folder(which)))
        return loaded.state

    def check_checkpoint(self, which: str) -> None:
        """Raises UserError where the run has no "best" or "newest" checkpoint."""
        if not checkpoint.steps(self.checkpoint_folder(which)):
            has_newest = bool(checkpoint.steps(self.checkpoints))
            raise checkpoint.missing(self.folder, which, has_newest=has_newest)

    def load_checkpoint(self, which: str) -> checkpoint.Checkpoint:
        """The "best" or the "newest" checkpoint that can be read.

        Raises:
            UserError: there is none yet, or all are damaged.
        """
        self.check_checkpoint(which)
        loaded = checkpoint.load_newest(self.checkpoint_folder(which))
        assert loaded is not None
        return loaded


def truncate_metrics(path: Path, step: int) -> None:
    """Drops the lines of `metrics.jsonl` that lie after `step`, and a half-written last one.

    A resumed run writes them again, so that the file is that of a run that was never killed.
    """
    if not path.exists():
        return
    kept = []
    for line in path.read_text().splitlines():
        try:
            if json.loads(line)["step"] > step:
                break
        except (ValueError, KeyError, TypeError):
            break
        kept.append(line + "\n")
    files.write_atomically(path, "".join(kept).encode())
