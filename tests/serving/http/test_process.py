"""The server as a process: curl, a mixed load, and how it ends."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys

import numpy as np
import pytest

for package in ("starlette", "uvicorn", "prometheus_client", "python_multipart"):
    pytest.importorskip(package)

from alexnet_common import command
from alexnet_tf import serve
from tests import serving_load

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model(workdir, tmp_path_factory):
    from alexnet_tf.runs import restore
    from alexnet_tf.serving import saved_model

    folder = tmp_path_factory.mktemp("process") / "model"
    saved_model.export(restore.load(str(workdir)), str(folder), 10)
    return folder


def test_mixed_load(model):
    """Good requests are answered right, all others with 4xx, in memory that stays."""
    report, wrong = serving_load.measure(str(model), serving_load.pictures(None), 8.0, [])
    assert wrong == []
    assert min(report["requests"].values()) > 0
    assert report["exit_status"] == 0
    # One body of each client at once, and a margin.
    bound = 9 * serving_load.MAX_BODY_MB * 3 + 300
    assert report["memory_mib_peak"] < report["memory_mib_before"] + bound


def test_curl(model, tmp_path):
    if not shutil.which("curl"):
        pytest.skip("needs curl")
    picture = serving_load.pictures(None, 1)[0]
    (tmp_path / "photo.jpg").write_bytes(picture)
    body = json.dumps({"instances": serving_load.encoded([picture])})
    (tmp_path / "request.json").write_text(body)

    def curl(*arguments: str) -> dict:
        done = subprocess.run(
            ["curl", "-sS", "--fail", *arguments], cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    with serving_load.serving(str(model)) as (port, _):
        place = f"http://127.0.0.1:{port}"
        rows = curl("-d", "@request.json", f"{place}{serving_load.PREDICT}")["predictions"]
        form = curl("-F", "image=@photo.jpg", f"{place}/predict")["results"]
        plain = curl("--data-binary", "@photo.jpg", f"{place}/predict")["results"]
        assert [best["name"] for best in form[0]["top_5"]] == rows[0]["top_5_names"]
        assert form[0]["file"] == "photo.jpg" and plain[0]["top_5"] == form[0]["top_5"]
        assert curl(f"{place}/v1/models/load")["model_version_status"][0]["version"] == "1"


def test_sigterm_lets_a_begun_request_end(model):
    body = json.dumps({"instances": serving_load.encoded(serving_load.pictures(None, 1))}).encode()
    with serving_load.serving(str(model), "--body_timeout=60") as (port, process):
        with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
            head = f"POST {serving_load.PREDICT} HTTP/1.1\r\nHost: x\r\n"
            connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode())
            connection.sendall(body[:100])
            # Answered only once the first request's head was read.
            assert serving_load.post(port, "/nowhere", b"")[0] == 404
            process.send_signal(signal.SIGTERM)
            connection.sendall(body[100:])
            answer = b""
            while part := connection.recv(65536):
                answer += part
        assert answer.startswith(b"HTTP/1.1 200")
        probabilities = json.loads(answer.partition(b"\r\n\r\n")[2])["predictions"]
        assert np.isclose(sum(probabilities[0]["probabilities"]), 1)
        assert process.wait(60) == 0


def test_a_port_that_is_taken_is_one_line(model):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "-m", "alexnet_tf.serve", f"--model={model}", f"--port={port}"],
            capture_output=True,
            text=True,
        )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1 and f"port {port} of 127.0.0.1" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["--model=nowhere", "--port=0"], 1, "holds no SavedModel"),
        (["--model=nowhere", "--name=a/b"], 2, "--name is part of a path"),
        (["--model=nowhere", "--host=no.such.host.invalid"], 1, "cannot be listened on"),
        ([], 2, "model"),
    ],
)
def test_errors_before_it_serves(arguments, status, words, capsys):
    assert command.call(serve.define_flags, serve.main, serve.__doc__, arguments) == status
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and words in err
