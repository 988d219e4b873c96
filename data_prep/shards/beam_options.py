"""What stands behind `--` of a conversion on Apache Beam: its runner, and that runner's options."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from alexnet_common.errors import UsageError, UserError, one_line
from alexnet_common.suggestions import did_you_mean

# Beam knows it by its whole name only.
_DASK = "apache_beam.runners.dask.dask_runner.DaskRunner"
_LOCAL_RUNNERS = ("", "directrunner", "fnapirunner")
# Their options are not all known here: they are asked of a server of jobs, or of the cloud.
_KNOWN_ELSEWHERE = ("portable", "flink", "spark", "dataflow")


class Parsed(NamedTuple):
    """A runner and its options.

    Attributes:
        runner: an object of Beam's class `PipelineRunner`.
        options: Beam's `PipelineOptions`.
    """

    runner: Any
    options: Any


def parse(arguments: Sequence[str]) -> Parsed:
    """Reads Beam's own options, `["--runner=FlinkRunner", ...]`.

    Raises:
        UsageError: Beam has no such runner or option, or the value is none of the option's.
        UserError: apache-beam, or what the runner needs, is not installed.
    """
    beam = library()
    from apache_beam.options import pipeline_options

    parsers: list[Any] = []
    with _one_line_of_usage(), _without_warnings():
        options = pipeline_options.PipelineOptions(list(arguments))
        standard = options.view_as(pipeline_options.StandardOptions)
        if (standard.runner or "").casefold() in ("dask", "daskrunner"):
            standard.runner = _DASK
        runner = _runner(beam, standard.runner)
        # After the runner, whose module brings its options.
        options.get_all_options(add_extra_args_fn=parsers.append)
        _, unknown = parsers[0].parse_known_args(list(arguments))
    name = standard.runner or "DirectRunner"
    if unknown and not name.casefold().startswith(_KNOWN_ELSEWHERE):
        known = {text for action in parsers[0]._actions for text in action.option_strings}
        word = unknown[0].split("=")[0]
        raise UsageError(
            f"the runner {name} of Apache Beam has no option {word}{did_you_mean(word, known)}"
        )
    return Parsed(runner, options)


def set_defaults(parsed: Parsed, arguments: Sequence[str], num_workers: int) -> None:
    """Sets what the command decides where `arguments` do not: workers, and how much Beam says."""
    from apache_beam.options import pipeline_options

    harness = parsed.options.view_as(pipeline_options.WorkerOptions)
    if not any(option.startswith("--default_sdk_harness_log_level") for option in arguments):
        harness.default_sdk_harness_log_level = "ERROR"
    name = parsed.options.view_as(pipeline_options.StandardOptions).runner or ""
    named = any(option.startswith("--direct_num_workers") for option in arguments)
    if not named and name.casefold() in _LOCAL_RUNNERS:
        direct = parsed.options.view_as(pipeline_options.DirectOptions)
        direct.direct_num_workers = num_workers
        direct.direct_running_mode = "multi_processing"


def library() -> Any:
    """The package apache_beam.

    Raises:
        UserError: it is not installed.
    """
    try:
        with _without_warnings():
            import apache_beam
    except ImportError as error:
        raise UserError(
            "--runner=beam needs apache-beam; pip install 'alexnet-tf[beam]' brings it"
        ) from error
    return apache_beam


def _runner(beam: Any, name: str | None) -> Any:
    try:
        return beam.runners.create_runner(name or "DirectRunner")
    except ImportError as error:
        if name == _DASK:
            raise UserError(
                "DaskRunner needs dask and distributed; pip install 'alexnet-tf[dask]' brings them"
            ) from error
        raise UserError(f"the runner {name} of Apache Beam: {one_line(error)}") from error
    except (ValueError, AttributeError, TypeError) as error:
        names = [*beam.options.pipeline_options.StandardOptions.KNOWN_RUNNER_NAMES, "DaskRunner"]
        raise UsageError(
            f"Apache Beam has no runner {name!r}{did_you_mean(name or '', names)} "
            f"(it has {', '.join(sorted(names))})"
        ) from error


@contextlib.contextmanager
def _one_line_of_usage() -> Iterator[None]:
    """Makes of what argparse prints, a page of options and a line, the line as an error."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            yield
    except SystemExit as error:
        line = said.getvalue().strip().rpartition("error: ")[2] or f"status {error.code}"
        raise UsageError(f"options of Apache Beam: {one_line(line)}") from error


@contextlib.contextmanager
def _without_warnings() -> Iterator[None]:
    """Beam tells of packages that it could use, and of options that are an error here."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
