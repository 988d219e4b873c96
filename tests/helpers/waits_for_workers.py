"""A worker of a cluster whose others never come: python -m tests.helpers.waits_for_workers SECONDS.

Waits for so long at most; TF_CONFIG names the cluster.
"""

import sys

from alexnet_common import command, signals
from alexnet_tf import recipes
from alexnet_tf.devices import distribution


def main(flag_values, arguments):
    """Makes the strategy, as training does."""
    config = recipes.load("demo")
    config.distribution = "multi_worker"
    distribution.make(config, wait_seconds=float(arguments[0]))


if __name__ == "__main__":
    with signals.ends_on_interrupt():
        status = command.call(lambda flag_values: None, main, __doc__, sys.argv[1:])
    signals.leave(status)
