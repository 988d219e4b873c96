"""Re-runs claims of the paper and says what came out: reproduced, contradicted, or neither.

Example:
  python -m alexnet_tf.reproduce --list
  python -m alexnet_tf.reproduce dropout --data_dir=cifar10 --output_dir=claims --budget=laptop
  python -m alexnet_tf.reproduce lrn relu dropout --data_dir=cifar10 --output_dir=claims \\
      --budget=gpu --parallel=12 --deadline_minutes=60 --extend

CLAIM is one or more names that --list shows, the most important ones first, or `all` that are
tried on CIFAR-10. Arms and
seeds are ordinary runs under --output_dir, trained by --parallel processes that share the GPU;
started again, the command goes on where it was, and runs that are finished are not repeated. Rows
go to ledger.jsonl there as soon as they are measured; ledger.html and claims.md are made of them at
the end; verdicts as JSON to stdout.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags

from alexnet_common import command, files
from alexnet_common.errors import FAILED, UsageError
from alexnet_common.messages import log

if TYPE_CHECKING:
    from alexnet_tf.claims.claim import Claim
    from alexnet_tf.claims.running import Campaign


def define_flags(flag_values: flags.FlagValues) -> None:
    """Defines the command's flags."""
    flags.DEFINE_bool("list", False, "List the claims and stop.", flag_values=flag_values)
    flags.DEFINE_bool(
        "pages", False, "Make the pages of the rows in --output_dir, and stop.",
        flag_values=flag_values,
    )  # fmt: skip
    flags.DEFINE_string(
        "data_dir", "", "Dataset folder, as the claim names it.", flag_values=flag_values
    )
    flags.DEFINE_string(
        "pretraining_data_dir", "", "Dataset folder of other images, for arms that are pretrained.",
        flag_values=flag_values,
    )  # fmt: skip
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
        "parallel", 1, "Runs at once, each in a process of its own, which share the cores and the "
        "GPU.",
        lower_bound=1, flag_values=flag_values,
    )  # fmt: skip
    flags.DEFINE_float(
        "deadline_minutes", 0.0, "Save and stop what still runs after so many minutes; 0: never.",
        lower_bound=0.0, flag_values=flag_values,
    )  # fmt: skip
    flags.DEFINE_multi_string(
        "set", [], "KEY=VALUE of the recipes' config for all runs, of those that change results by "
        "rounding alone, such as jit_compile=false.",
        flag_values=flag_values,
    )  # fmt: skip
    flags.DEFINE_bool(
        "extend", False, "Give inconclusive claims the seeds of their next look (twice, four "
        "times as many), once all claims have had their first.",
        flag_values=flag_values,
    )  # fmt: skip


def main(flag_values: flags.FlagValues, arguments: list[str]) -> int:
    """Runs the command."""
    began = time.time()
    from alexnet_tf.claims import claim as catalogue
    from alexnet_tf.claims import ledger

    root = Path(flag_values.output_dir)
    if flag_values.list:
        if not (root / ledger.FILE).is_file():
            log(f"no claim was run yet with this --output_dir: there is no {root / ledger.FILE}")
        for item in catalogue.load_all().values():
            budget, verdict = ledger.best_verdict(ledger.read(root / ledger.FILE), item)
            print(f"{item.name:16} {item.section:16} {verdict.word:13} {item.sentence}")
        return 0
    if flag_values.pages:
        _write_pages(root)
        return 0
    if not arguments:
        raise UsageError("name claims, or `all`; --list shows them")
    chosen = _chosen(arguments)
    if not flag_values.data_dir:
        raise UsageError("--data_dir is missing: a dataset folder, such as CIFAR-10 at 32x32")
    campaign = _campaign(flag_values, chosen, root, began)
    try:
        failures = campaign.run()
    finally:
        if (root / ledger.FILE).is_file():
            _write_pages(root)
    from alexnet_tf.claims.verdict import as_row

    rows = ledger.read(root / ledger.FILE)
    verdicts = {
        item.name: as_row(ledger.verdict_of(rows, item, flag_values.budget)) for item in chosen
    }
    print(json.dumps(verdicts, indent=2))
    return FAILED if failures else 0


def _campaign(
    flag_values: flags.FlagValues, chosen: list[Claim], root: Path, began: float
) -> Campaign:
    """The runs of the chosen claims, and who trains them; raises UserError before any begins."""
    computing = _computing(list(flag_values["set"].value or []))
    from alexnet_tf import claim_workers
    from alexnet_tf.claims import running
    from alexnet_tf.claims.workers import Worker
    from data_prep import dataset

    dataset.load(flag_values.data_dir)
    if any(arm.pretrained for item in chosen for arm in item.arms):
        if not flag_values.pretraining_data_dir:
            raise UsageError("--pretraining_data_dir is missing: the dataset to pretrain on")
        dataset.load(flag_values.pretraining_data_dir)
    workers: list[Worker]
    if flag_values.budget == "smoke":
        # The runs are shorter than the start of a process.
        workers = [claim_workers.ThisProcess()]
    else:
        _share_the_machine(flag_values.parallel)
        workers = [claim_workers.ProcessWorker() for _ in range(flag_values.parallel)]
    minutes = flag_values.deadline_minutes
    return running.Campaign(
        chosen,
        flag_values.budget,
        flag_values.seeds,
        flag_values.data_dir,
        root,
        workers,
        deadline=began + 60 * minutes if minutes else None,
        extend=flag_values.extend,
        computing=computing,
        pretraining_data_dir=flag_values.pretraining_data_dir,
    )


def _chosen(names: list[str]) -> list[Claim]:
    from alexnet_tf.claims import claim as catalogue

    if names == ["all"]:
        everything = catalogue.load_all().values()
        return [item for item in everything if item.images == catalogue.CIFAR_10]
    return [catalogue.load(name) for name in dict.fromkeys(names)]


def _computing(texts: list[str]) -> list[tuple[str, str]]:
    """Pairs of `--set`.

    Raises:
        UsageError: a key that would make another comparison of it.
    """
    from alexnet_tf.settings.catalog import resume_of
    from alexnet_tf.settings.setting import Resume

    pairs = []
    for text in texts:
        key, separator, value = text.partition("=")
        if not separator or resume_of(key) is Resume.REFUSED:
            raise UsageError(
                f"--set={text}: must be KEY=VALUE with a key that changes results by rounding "
                "alone, such as jit_compile=false"
            )
        pairs.append((key, value))
    return pairs


def _share_the_machine(parallel: int) -> None:
    """Lets the processes to come share the cores and the GPU's memory."""
    threads = str(max(1, (os.cpu_count() or 1) // parallel))
    for name in ("TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS"):
        os.environ.setdefault(name, threads)
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")


def _write_pages(root: Path) -> None:
    from alexnet_tf.claims import claim as catalogue
    from alexnet_tf.claims import ledger, page

    rows, everything = ledger.read(root / ledger.FILE), catalogue.load_all()
    files.write_atomically(root / "claims.md", page.markdown(everything, rows).encode())
    files.write_atomically(root / "ledger.html", page.html(everything, rows).encode())


def run() -> None:
    """Console entry point."""
    command.run(define_flags, main, __doc__)


if __name__ == "__main__":
    run()
