"""Commands do the same whatever the user's environment is: real commands, compared bit for bit."""

import json
import os
import pathlib
import socket
import subprocess
import sys
import threading

import numpy as np
import pytest

# Everything that a file or variable of Keras' can change.
KERAS_JSON = {
    "floatx": "float64",
    "epsilon": 0.5,
    "backend": "jax",
    "image_data_format": "channels_first",
}
LEFT_OVER = {"cluster": {"worker": ["left:1", "over:2"]}, "task": {"type": "worker", "index": 1}}
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": ""}


def run(arguments, *, shell="", timeout=300, **variables):
    """Runs `python ARGUMENTS`, behind `shell` redirections, with more environment variables."""
    environment = {name: value for name, value in os.environ.items() if "proxy" not in name}
    return subprocess.run(
        ["bash", "-c", f'exec "$@" {shell}', "bash", sys.executable, *map(str, arguments)],
        env=environment | variables,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


STREAMS = """
import os, sys
from alexnet_common import environment
environment.prepare_streams()
with open(sys.argv[1], "w") as file:
    os.write(2, b"what a library says")
    print("a result")
    print("a message", file=sys.stderr)
    file.write(str([os.readlink(f"/proc/self/fd/{number}") for number in range(3)]))
"""


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_nothing_is_written_into_a_file_that_took_a_closed_streams_number(closed, tmp_path):
    path = tmp_path / "file"
    done = run(["-c", STREAMS, path], shell=closed)
    assert done.returncode == 0
    streams = path.read_text()
    assert streams.startswith("[") and streams.endswith("]")
    assert streams.count("/dev/null") >= closed.count("-")
    if ">&-" not in closed.replace("2>&-", ""):
        assert done.stdout == "a result\n"


def test_what_a_stream_cannot_encode_is_escaped():
    script = (
        "from alexnet_common import environment; environment.prepare_streams(); print('a\\u2192b')"
    )
    done = run(["-c", script], PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stdout) == (0, "a\\u2192b\n")


@pytest.mark.parametrize("variables", [{}, ASCII, {"PYTHONIOENCODING": "ascii"}])
@pytest.mark.parametrize("shell", ["", "<&- >&- 2>&-"])
def test_demo_images_are_made_in_any_locale_without_streams(variables, shell, tmp_path):
    command = ["-m", "data_prep.make_demo_images", f"--output_dir={tmp_path / 'images'}"]
    done = run(
        [*command, "--train_images_per_class=2", "--validation_images_per_class=1"],
        shell=shell,
        **variables,
    )
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "images").rglob("*.JPEG"))) == 30


def train(workdir, *more, **how):
    arguments = [
        "-m",
        "alexnet_tf.train",
        "--config=demo",
        "--config.synthetic_data=true",
        "--config.num_classes=3",
        "--config.limit_train_examples=32",
        "--config.batch_size=16",
        "--config.train_steps=2",
        "--config.log.report=false",
        f"--workdir={workdir}",
    ]
    return run([*arguments, *more], **how)


def arrays(workdir):
    """The bits of the last checkpoint."""
    with np.load(workdir / "checkpoints" / "step-000000002.npz") as archive:
        return {name: archive[name] for name in archive.files}


@pytest.fixture(scope="module")
def ordinary(tmp_path_factory):
    """A run in the environment of the tests: its checkpoint, and what it said on stdout."""
    folder = tmp_path_factory.mktemp("ordinary") / "run"
    done = train(folder)
    assert done.returncode == 0, done.stderr[-2000:]
    return arrays(folder), json.loads(done.stdout)


@pytest.fixture
def keras_home(tmp_path):
    (tmp_path / ".keras").mkdir()
    (tmp_path / ".keras" / "keras.json").write_text(json.dumps(KERAS_JSON))
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize(
    "variables",
    [
        {"HOME": "{home}"},
        {"KERAS_HOME": "{home}/.keras"},
        {"KERAS_BACKEND": "torch", "KERAS_FLOATX": "float16", "TF_USE_LEGACY_KERAS": "1"},
        {"TF_CONFIG": json.dumps(LEFT_OVER)},
        {"TF_CONFIG": "{not JSON"},
        ASCII,
        {"HOME": "/nowhere", "http_proxy": "http://127.0.0.1:9"},
    ],
    ids=["keras.json", "KERAS_HOME", "KERAS_BACKEND", "TF_CONFIG", "broken", "LC_ALL", "HOME"],
)
def test_a_run_gives_the_same_bits(variables, ordinary, keras_home, tmp_path):
    values = {name: value.replace("{home}", str(keras_home)) for name, value in variables.items()}
    done = train(tmp_path / "run", **values)
    assert done.returncode == 0, done.stderr[-2000:]
    check_same(tmp_path / "run", ordinary)
    assert json.loads(done.stdout)["loss"] == ordinary[1]["loss"]


@pytest.mark.slow
@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-", "2>/dev/full"])
def test_a_run_without_streams_gives_the_same_bits(closed, ordinary, tmp_path):
    assert train(tmp_path / "run", shell=closed).returncode == 0
    check_same(tmp_path / "run", ordinary)
    for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines():
        json.loads(line)


@pytest.mark.slow
def test_a_mirrored_run_does_not_read_a_left_over_cluster(tmp_path):
    """TensorFlow's MirroredStrategy would."""
    done = train(
        tmp_path / "run",
        "--config.distribution=mirrored",
        "--config.devices=('CPU:0','CPU:1')",
        TF_CONFIG="{not JSON",
    )
    assert done.returncode == 0, done.stderr[-2000:]


def check_same(workdir, ordinary):
    made = arrays(workdir)
    assert made.keys() == ordinary[0].keys()
    for name, values in ordinary[0].items():
        assert values.dtype == made[name].dtype, name
        assert values.tobytes() == made[name].tobytes() or name == "state", name


class Proxy:
    """Counts who asks it for a way to somewhere, and answers nobody, as a firewall does."""

    def __init__(self):
        self.asked = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._held = []
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.asked += 1
            self._held.append(connection)

    def close(self):
        self._listener.close()
        for connection in self._held:
            connection.close()


@pytest.mark.slow
def test_workers_on_this_machine_ask_no_proxy_for_the_way(tmp_path):
    proxy = Proxy()
    try:
        done = run(
            ["-m", "alexnet_tf.launch", "--workers=2", "--", "--config=demo"]
            + ["--config.synthetic_data=true", "--config.num_classes=3"]
            + ["--config.limit_train_examples=32", "--config.batch_size=16"]
            + ["--config.train_steps=2", f"--workdir={tmp_path / 'run'}"],
            http_proxy=proxy.address,
            https_proxy=proxy.address,
            grpc_proxy=proxy.address,
        )
    finally:
        proxy.close()
    assert done.returncode == 0, done.stderr[-2000:]
    assert proxy.asked == 0
    assert pathlib.Path(tmp_path / "run" / "checkpoints" / "step-000000002.npz").is_file()
