"""The list of commands, and any of them: `python -m alexnet_tf`, and the script `alexnet-tf`."""

import alexnet_tf
from alexnet_common import command_list


def run() -> None:
    """Console entry point: the converter's commands too."""
    command_list.run("alexnet-tf", ["alexnet_tf", "data_prep"], alexnet_tf.__doc__)


if __name__ == "__main__":
    command_list.run("python -m alexnet_tf", ["alexnet_tf"], alexnet_tf.__doc__)
