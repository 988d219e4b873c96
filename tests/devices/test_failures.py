"""TensorFlow's errors in words for people."""

import pytest
import tensorflow as tf

from alexnet_tf.devices.failures import explain

NCCL = (
    "NCCL: unhandled system error. Error while creating shared memory segment "
    "/dev/shm/nccl-VzU6pP (size 9637888), error: No space left on device (28)"
)


@pytest.mark.parametrize(
    ("kind", "message", "words"),
    [
        (
            tf.errors.UnknownError,
            "OSError: [Errno 24] Too many open files: '/data/train-00007-of-01024'\nTraceback ...",
            "too many open files: .*ulimit -n",
        ),
        (tf.errors.InternalError, NCCL, "/dev/shm is full or too small.*--shm-size"),
        (
            tf.errors.UnknownError,
            "FileNotFoundError: [Errno 2] No such file or directory: '/data/x'",
            "can no longer be read: No such file or directory: '/data/x'",
        ),
        (tf.errors.UnavailableError, "Connection reset by peer", "another worker is gone"),
        (tf.errors.ResourceExhaustedError, "OOM when allocating", "accumulation_steps=2"),
    ],
)
def test_the_cause_is_named(kind, message, words):
    with pytest.raises(Exception, match=words):
        raise explain(kind(None, None, message), workers=2)


def test_an_evaluation_is_no_training():
    error = tf.errors.InvalidArgumentError(None, None, "shapes differ")
    assert str(explain(error, 1, "the evaluation")) == (
        "InvalidArgumentError in the evaluation: shapes differ"
    )
    gone = tf.errors.UnknownError(None, None, "OSError: [Errno 5] Input/output error: 'x'")
    assert "resumes" not in str(explain(gone, 1, "the evaluation"))
    assert "the same command resumes" in str(explain(gone, 1))
