"""SIGTERM that came while TensorFlow connected the workers.

Its coordination service takes the signal for itself: from the moment a worker joins, until our own
handlers are back, SIGTERM only sets a flag in TensorFlow, which tells all workers of it through the
service within a second. Here each worker listens for that, and does what SIGTERM asks for.
"""

from __future__ import annotations

import signal
import threading
import time

import tensorflow as tf

from alexnet_common import signals

# Where TensorFlow's coordination service says that a worker got SIGTERM (`PreemptionWatcher`).
_NOTICE = "TF_DEFAULT_PREEMPTION_NOTICE_KEY"
# The service ends with the chief, which lets the others hear first.
_CHIEF_SECONDS = 0.5


def listen(is_chief: bool) -> None:
    """Lets a daemon thread wait for the notice; call it once the workers are connected."""
    # TensorFlow has no public way to ask: its own watcher refuses to start outside of TPU clusters.
    from tensorflow.python.eager import context

    def wait() -> None:
        try:
            context.context().get_config_key_value(_NOTICE)
        except tf.errors.OpError:
            return  # The service has ended, and the run with it.
        if is_chief:
            time.sleep(_CHIEF_SECONDS)
        signals.pass_on(signal.SIGTERM)

    threading.Thread(target=wait, daemon=True).start()
