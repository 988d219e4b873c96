"""Re-runs a claim of the paper and says what came out: reproduced, contradicted, or neither.

Example:
  python -m alexnet_tf.reproduce --list
  python -m alexnet_tf.reproduce dropout --data_dir=cifar10 --output_dir=claims --budget=laptop
  python -m alexnet_tf.reproduce all --data_dir=cifar10 --output_dir=claims --budget=smoke

CLAIM is a name that --list shows, or `all`. Arms and seeds are ordinary runs under --output_dir;
started again, the command goes on where it was, and runs that are finished are not repeated. Rows
go to ledger.jsonl there, from which ledger.html and claims.md are made; verdicts as JSON to stdout.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from absl import flags

from alexnet_common import command, files
from alexnet_common.errors import UsageError
from alexnet_common.messages import log

if TYPE_CHECKING:
    from alexnet_tf.claims.trials import Trial


def define_flags(flag_values: flags.FlagValues) -> None:
    """Defines the command's flags."""
    flags.DEFINE_bool("list", False, "List the claims and stop.", flag_values=flag_values)
    flags.DEFINE_string(
        "data_dir", "", "Dataset folder, as the claim names it.", flag_values=flag_values
    )
    flags.DEFINE_string(
        "output_dir", "claims", "Folder of the ledger and of all runs.", flag_values=flag_values
    )
    flags.DEFINE_enum(
        "budget",
        "laptop",
        ["smoke", "laptop", "gpu"],
        "How long and how often: smoke only shows that the arms run.",
        flag_values=flag_values,
    )
    flags.DEFINE_integer(
        "seeds", 0, "Seeds per arm; 0: as planned.", lower_bound=0, flag_values=flag_values
    )
    flags.DEFINE_integer(
        "parallel", 1, "Runs at once, which share the cores.", lower_bound=1,
        flag_values=flag_values,
    )  # fmt: skip


def main(flag_values: flags.FlagValues, arguments: list[str]) -> int:
    """Runs the command."""
    from alexnet_tf.claims import claim as catalogue
    from alexnet_tf.claims import ledger

    root = Path(flag_values.output_dir)
    if flag_values.list:
        for item in catalogue.load_all().values():
            budget, verdict = ledger.best_verdict(ledger.read(root / ledger.FILE), item)
            print(f"{item.name:16} {item.section:16} {verdict.word:13} {item.sentence}")
        return 0
    if len(arguments) != 1:
        raise UsageError("name one claim, or `all`; --list shows them")
    if not flag_values.data_dir:
        raise UsageError("--data_dir is missing: a dataset folder, such as CIFAR-10 at 32x32")
    everything = catalogue.load_all()
    chosen = list(everything.values()) if arguments[0] == "all" else [catalogue.load(arguments[0])]
    from alexnet_tf.claims import page, rules, running
    from data_prep import dataset

    dataset.load(flag_values.data_dir)
    here = train_here if flag_values.budget == "smoke" else None
    runner = running.Runner(flag_values.parallel, train=here)
    verdicts = {}
    for item in chosen:
        seeds = range(flag_values.seeds or item.budgets[flag_values.budget].seeds)
        log(f"{item.name}: {item.sentence}")
        running.run_claim(item, flag_values.budget, seeds, flag_values.data_dir, root, runner)
        rows = ledger.read(root / ledger.FILE)
        verdict = ledger.verdict_of(rows, item, flag_values.budget)
        verdicts[item.name] = rules.as_row(verdict)
        log(f"{item.name}: {verdict.word}. {verdict.reason}")
        files.write_atomically(root / "claims.md", page.markdown(everything, rows).encode())
        files.write_atomically(root / "ledger.html", page.html(everything, rows).encode())
    print(json.dumps(verdicts, indent=2))
    return 0


def train_here(trial: Trial, output: TextIO) -> int:
    """Trains a trial in this process."""
    from alexnet_tf import train

    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        return command.call(train.define_flags, train.main, train.__doc__, trial.arguments())


def run() -> None:
    """Console entry point."""
    command.run(define_flags, main, __doc__)


if __name__ == "__main__":
    run()
