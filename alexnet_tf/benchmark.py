"""Measures how fast parts of this program are, on the machine it runs on.

Example:
  python -m alexnet_tf.benchmark step
  python -m alexnet_tf.benchmark step --help

Results are JSON on stdout (each benchmark's --help says what they mean), progress is on stderr.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
import sys
from types import ModuleType

from absl import flags

from alexnet_common import command
from alexnet_common.errors import UsageError
from alexnet_tf import benchmarks


def names() -> list[str]:
    """The benchmarks there are: modules of `alexnet_tf.benchmarks` without an underscore."""
    module_names = (module.name for module in pkgutil.iter_modules(benchmarks.__path__))
    return sorted(name for name in module_names if not name.startswith("_"))


def call(argv: list[str]) -> int:
    """Runs the benchmark that `argv[0]` names with the flags behind it; returns the exit status."""
    if argv and argv[0] in names():
        chosen = _load(argv[0])
        return command.call(chosen.define_flags, chosen.main, chosen.__doc__, argv[1:])
    return command.call(define_flags, main, _doc_with_list(argv), argv)


def define_flags(flag_values: flags.FlagValues) -> None:
    """Each benchmark has flags of its own."""


def main(flag_values: flags.FlagValues, arguments: list[str]) -> int:
    """Reached only where no benchmark was named."""
    listed = ", ".join(names())
    if not arguments:
        raise UsageError(
            f"no benchmark named; there are {listed}: python -m alexnet_tf.benchmark NAME"
        )
    near = difflib.get_close_matches(arguments[0], names(), n=2)
    guess = f"did you mean {' or '.join(near)}? " if near else ""
    raise UsageError(f"no benchmark {arguments[0]!r}; {guess}there are {listed}")


def _load(name: str) -> ModuleType:
    return importlib.import_module(f"alexnet_tf.benchmarks.{name}")


def _doc_with_list(argv: list[str]) -> str:
    if not any(argument.lstrip("-") in ("h", "help") for argument in argv):
        return ""
    lines = [(__doc__ or "").strip(), "", "Benchmarks:"]
    for name in names():
        first_line = (_load(name).__doc__ or "").strip().splitlines()[0]
        lines.append(f"  {name:10} {first_line}")
    return "\n".join(lines)


def run() -> None:
    """Console entry point."""
    sys.exit(call(sys.argv[1:]))


if __name__ == "__main__":
    run()
