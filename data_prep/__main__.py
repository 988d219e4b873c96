"""The list of commands: `python -m data_prep`."""

import data_prep
from alexnet_common import command_list

if __name__ == "__main__":
    command_list.run("data_prep", data_prep.__path__, data_prep.__doc__)
