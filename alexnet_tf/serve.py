"""Serves an exported network over HTTP, with TensorFlow Serving's REST paths and a page.

Examples:
  python -m alexnet_tf.serve --model=MODEL
  curl -F image=@photo.jpg http://127.0.0.1:8501/predict

MODEL is a folder that alexnet_tf.export wrote, or one of versions, of which the newest is served.
http://127.0.0.1:8501/ is a page to drop pictures on. Clients written for TensorFlow Serving work
unchanged: /v1/models/NAME, /v1/models/NAME/metadata, /v1/models/NAME:predict. /metrics is for
Prometheus, /healthz and /readyz are for monitoring.

There is no password: the default address is reached from this machine only. SIGTERM and Ctrl-C let
begun requests end, a second one does not. Needs the extra `serve`: pip install "alexnet-tf[serve]".
"""

from __future__ import annotations

import ipaddress
import re
import sys

from absl import flags

from alexnet_common import command, signals
from alexnet_common.errors import UsageError, UserError
from alexnet_common.messages import log
from alexnet_common.tensorflow_import import import_tensorflow


def define_flags(flag_values: flags.FlagValues) -> None:
    """Defines the command's flags."""
    flags.DEFINE_string(
        "model", None, "Folder of the exported model, or of its versions.", flag_values=flag_values
    )
    flags.mark_flag_as_required("model", flag_values=flag_values)
    flags.DEFINE_string("name", "alexnet", "Name of the model in paths.", flag_values=flag_values)
    flags.DEFINE_integer(
        "version", None, "Version to serve; the newest without it.", 1, flag_values=flag_values
    )
    flags.DEFINE_string(
        "host",
        "127.0.0.1",
        "Address to listen on; 0.0.0.0 is every one of this machine.",
        flag_values=flag_values,
    )
    flags.DEFINE_integer(
        "port", 8501, "Port to listen on; 0: any free one.", 0, 65535, flag_values=flag_values
    )
    flags.DEFINE_integer(
        "batch_size", 32, "Images at most in one call of the network.", 1, flag_values=flag_values
    )
    flags.DEFINE_float(
        "batch_wait_ms",
        2.0,
        "Milliseconds that an image waits for others to share its batch.",
        0.0,
        flag_values=flag_values,
    )
    flags.DEFINE_integer(
        "max_instances", 256, "Images at most in one request.", 1, flag_values=flag_values
    )
    flags.DEFINE_float(
        "max_megapixels",
        67.1,
        "Millions of pixels at most of one image; the converter's own limit is 67.1.",
        0.001,
        flag_values=flag_values,
    )
    flags.DEFINE_integer(
        "max_body_mb", 32, "MiB at most of one request.", 1, 1024, flag_values=flag_values
    )
    flags.DEFINE_float(
        "body_timeout", 20.0, "Seconds that a request may take to arrive.", 0.1,
        flag_values=flag_values,
    )  # fmt: skip
    flags.DEFINE_float(
        "answer_timeout", 60.0, "Seconds that an answer may take.", 0.1, flag_values=flag_values
    )


def main(flag_values: flags.FlagValues, arguments: list[str]) -> int:
    """Runs the command."""
    if arguments:
        raise UsageError(f"unexpected argument {arguments[0]!r}")
    if not re.fullmatch(r"[A-Za-z0-9._-]+", flag_values.name):
        raise UsageError("--name is part of a path: letters, digits, '.', '_' and '-' only")
    try:
        import prometheus_client  # noqa: F401
        import python_multipart  # noqa: F401
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise UserError(
            f'the server needs {error.name}: pip install "alexnet-tf[serve]"'
        ) from error
    # TensorFlow takes seconds to import: after the flags are known to be right.
    import_tensorflow()
    from alexnet_tf.serving import loaded
    from alexnet_tf.serving.http import app, inference, running
    from data_prep.pixels.limits import MAX_PIXELS

    listener = running.listen(flag_values.host, flag_values.port)
    host, port = listener.getsockname()[:2]
    model = loaded.load(flag_values.model, flag_values.version)
    settings = inference.Settings(
        batch_size=flag_values.batch_size,
        batch_wait_seconds=flag_values.batch_wait_ms / 1000,
        max_instances=flag_values.max_instances,
        max_pixels=min(MAX_PIXELS, int(flag_values.max_megapixels * 1e6)),
        max_body_bytes=flag_values.max_body_mb << 20,
        body_seconds=flag_values.body_timeout,
        answer_seconds=flag_values.answer_timeout,
    )
    server = app.Server(model, flag_values.name, settings)
    model.warm_up()

    def started() -> None:
        if not ipaddress.ip_address(host).is_loopback:
            log(f"WARNING: {host} is reached from other machines, and there is no password")
        shown = f"[{host}]" if ":" in host else host
        log(f"serving {flag_values.name} version {model.version} on http://{shown}:{port}/")

    running.run(server, listener, started)
    log("stopped")
    return 0


def run() -> None:
    """Console entry point."""
    signals.leave(command.call(define_flags, main, __doc__, sys.argv[1:]))


if __name__ == "__main__":
    run()
