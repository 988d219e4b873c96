"""The image's health check: exit status 0 healthy, 1 not.

Asks /healthz of the server that this container runs. Any other command, training say, is healthy
while it runs: how it fares is in its log and exit status.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import sys
import urllib.request

SECONDS = 5


def url_of_server(arguments: list[str]) -> str | None:
    """Where the command line of a container's first process serves; None: it is no server."""
    names = [os.path.basename(argument) for argument in arguments]
    if "alexnet-serve" in names:
        start = names.index("alexnet-serve") + 1
    elif "alexnet-tf" in names and "serve" in names[names.index("alexnet-tf") + 1 :][:1]:
        start = names.index("alexnet-tf") + 2
    else:
        return None
    parser = argparse.ArgumentParser(allow_abbrev=False, add_help=False)
    parser.add_argument("--host", "-host", default="127.0.0.1")
    parser.add_argument("--port", "-port", default="8501")
    flags, _ = parser.parse_known_args(arguments[start:])
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(flags.host, flags.host)
    return f"http://{f'[{host}]' if ':' in host else host}:{flags.port}/healthz"


def main() -> None:
    """Runs the script."""
    line = pathlib.Path("/proc/1/cmdline").read_bytes().decode(errors="replace")
    url = url_of_server(line.split("\0")[:-1])
    if url is None:
        return
    # A proxy of the environment is not the way to this container itself.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=SECONDS) as answer:
            answer.read()
    except OSError as error:
        sys.exit(f"{url}: {error}")


if __name__ == "__main__":
    main()
