"""Errors of TensorFlow as one line of ours: bad data, a lost worker, no memory."""

from __future__ import annotations

import re

import tensorflow as tf

from alexnet_common.errors import UserError, one_line

# What a collective operation ends with when another worker is gone.
_LOST_WORKER = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.DeadlineExceededError,
    tf.errors.CancelledError,
    tf.errors.InternalError,
    tf.errors.FailedPreconditionError,
)
# As Python writes what the system says of a file: "FileNotFoundError: [Errno 2] No such file ...".
_SYSTEM_ERROR = re.compile(r"Error: \[Errno \d+\] (.+)")


def explain(error: tf.errors.OpError, workers: int, doing: str = "training") -> UserError:
    """What an error says, for people.

    Args:
        error: from a compiled step or the input pipeline.
        workers: how many processes train together.
        doing: what it ended, for the errors that have no words of their own.
    """
    # Python errors inside the pipeline arrive as text, behind their traceback.
    for line in str(error.message).splitlines():
        if "DamagedRecord: " in line:
            return UserError(line.split("DamagedRecord: ", 1)[1])
        if (match := _SYSTEM_ERROR.search(line)) and "Too many open files" in match[1]:
            return UserError(
                "too many open files: a run keeps every shard of its dataset open; raise the limit "
                "(ulimit -n), or convert with fewer shards"
            )
        if match:
            then = "resumes" if doing == "training" else "does it"
            return UserError(
                f"the dataset can no longer be read: {match[1]}; the same command {then} when it "
                "is there again"
            )
    if "/dev/shm" in str(error.message):
        return UserError(
            "the shared memory /dev/shm is full or too small, through which GPUs of one machine "
            f"talk; in a container give it more (docker run --shm-size=1g): "
            f"{one_line(error.message)[:200]}"
        )
    if workers > 1 and isinstance(error, _LOST_WORKER):
        return UserError(
            "another worker is gone (the end of its log says why); start the same "
            "command on all workers to resume from the last checkpoint"
        )
    if isinstance(error, tf.errors.ResourceExhaustedError):
        return UserError(
            "out of memory on the device; try config.accumulation_steps=2 or a smaller "
            f"config.batch_size ({one_line(error.message)[:200]})"
        )
    return UserError(f"{type(error).__name__} in {doing}: {one_line(error.message)[:500]}")
