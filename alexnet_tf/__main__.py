"""The list of commands: `python -m alexnet_tf`."""

import alexnet_tf
from alexnet_common import command_list

if __name__ == "__main__":
    command_list.run("alexnet_tf", alexnet_tf.__path__, alexnet_tf.__doc__)
