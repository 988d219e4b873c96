"""Arguments of the trainer that stand in scripts and manifests."""

from absl import flags

from alexnet_common import command
from alexnet_tf import recipes, train


def check_several_workers(arguments):
    """The flags and settings exist, and train on several workers."""
    values = flags.FlagValues()
    train.define_flags(values)
    command._parse(values, arguments)
    assert recipes.from_flags(values).distribution == "multi_worker"
