"""The list of commands, and any of them: `python -m data_prep`."""

import data_prep
from alexnet_common import command_list

if __name__ == "__main__":
    command_list.run("python -m data_prep", ["data_prep"], data_prep.__doc__)
