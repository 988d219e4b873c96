"""Shards made on Apache Beam: each is one element of a pipeline, on whatever runner it has.

The plan, the shards' bytes and the sidecars are those of a local run; Beam only decides where and
when a shard is made, and may make it again. Sources and dataset folder must be readable, and the
folder writable, under the same paths on every worker.
"""

import contextlib
import logging
import os
from collections.abc import Callable, Iterator, Sequence

from alexnet_common import tensorflow_import
from alexnet_common.counting import counted
from alexnet_common.errors import UserError, one_line
from alexnet_common.messages import log
from data_prep.shards import beam_options, job_files, making, workers


class BeamJobs:
    """Runs jobs as `workers.run` does, on Beam."""

    def __init__(self, options: Sequence[str]) -> None:
        """Jobs on the runner that Beam's own pipeline options name, as `--runner=FlinkRunner`.

        Raises:
            UsageError: Beam does not know the runner or an option.
            UserError: apache-beam, or what the runner needs, is not installed.
        """
        self._options = list(options)
        self._parsed = beam_options.parse(self._options)

    def __call__(
        self,
        jobs: Sequence[making.Job],
        num_workers: int,
        num_images: int,
        title: str,
        check: Callable[[making.Outcome], None],
    ) -> list[making.Outcome]:
        """Makes the shards of all jobs; results in the order of the jobs.

        Args:
            jobs: what to make.
            num_workers: processes of a direct runner whose options do not name their number.
            num_images: images of all jobs, for messages.
            title: names the work in messages.
            check: called with every outcome; what it raises ends the run.

        Raises:
            UserError: a shard could not be made, or the pipeline did not end well.
        """
        if not jobs:
            return []
        what = f"{counted(num_images, 'image')} in {counted(len(jobs), 'shard')}"
        log(f"{title}: {what} on Apache Beam")
        for job in jobs:
            # An outcome of an earlier run must not be taken for one of this.
            job_files.remove(job)
        try:
            beam_options.set_defaults(self._parsed, self._options, num_workers)
            _run([job_files.write_job(job) for job in jobs], self._parsed)
            return [_outcome(job, check) for job in jobs]
        finally:
            for job in jobs:
                job_files.remove(job)


def make_shard(path: str) -> str:
    """Makes the shard of a job file, on a worker; returns the path.

    A mistake in the images is told in the outcome file: an exception would make Beam try again, and
    bury the line in a traceback.
    """
    # Read when TensorFlow is imported; the pixels do not depend on them, memory does.
    for name, value in workers.WORKER_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    tensorflow_import.import_on_cpu()
    job = job_files.read_job(path)
    try:
        outcome = making.make(job, lambda count: None)
    except UserError as error:
        job_files.write_outcome(job, None, one_line(error))
    else:
        job_files.write_outcome(job, outcome, None)
    return path


def _outcome(job: making.Job, check: Callable[[making.Outcome], None]) -> making.Outcome:
    outcome, error = job_files.read_outcome(job)
    if error is not None:
        raise UserError(error)
    if outcome is None:
        raise UserError(
            f"{job.shard_name}: Beam ended without making it; do its workers see "
            f"{job.output_dir} under this path?"
        )
    check(outcome)
    return outcome


def _run(paths: list[str], parsed: beam_options.Parsed) -> None:
    beam = beam_options.library()
    pipeline = beam.Pipeline(runner=parsed.runner, options=parsed.options)
    with workers.environment(workers.WORKER_ENVIRONMENT), _quiet():
        _ = (
            pipeline
            | "Shards" >> beam.Create(paths)
            # Without it the elements stay together, on one worker.
            | "Spread" >> beam.Reshuffle()
            | "Make" >> beam.Map(make_shard)
        )
        try:
            result = pipeline.run()
            state = result.wait_until_finish() or result.state
        except UserError:
            raise
        except Exception as error:  # a runner may raise anything
            raise UserError(
                f"the Beam pipeline failed: {one_line(error)}; run the same command again, "
                "finished shards are kept"
            ) from error
    if state != beam.runners.runner.PipelineState.DONE:
        raise UserError(f"the Beam pipeline ended as {state}; finished shards are kept")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Beam tells much that is of no use here; its errors stay."""
    logger = logging.getLogger("apache_beam")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)
