"""alexnet_tf.train, but with kill -9 after a given update, before its checkpoint is written.

python -m tests.helpers.killed_after STEP [arguments of alexnet_tf.train]
"""

import os
import signal
import sys

from alexnet_tf import train
from alexnet_tf.train_loop.logging.watchers import Watcher


class Killer(Watcher):
    """Ends this process when `last` updates are done."""

    def __init__(self, last):
        self.last = last

    def steps_done(self, step):
        # A call of several updates may end later.
        if step >= self.last:
            os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(train.call(sys.argv[2:], [Killer(int(sys.argv[1]))]))
