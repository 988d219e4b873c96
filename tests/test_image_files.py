"""What the Dockerfile's images are made of: files that run inside them, and what is copied."""

import fnmatch
import http.server
import os
import re
import runpy
import subprocess
import sys
import threading

import pytest

import alexnet_common
from tests import test_docs
from tests.helpers import documented
from tools import image_check
from tools.images import buildah, checks


@pytest.fixture(scope="module")
def dockerfile(repository):
    return (repository / "Dockerfile").read_text()


def test_the_builder_gets_what_is_copied(repository, dockerfile):
    """Everything that COPY names passes .dockerignore, and exists."""
    lines = (repository / ".dockerignore").read_text().splitlines()
    assert "*" in lines
    passed = [line[1:] for line in lines if line.startswith("!")]
    copied = [
        word
        for line in dockerfile.splitlines()
        if line.startswith("COPY ") and "--from=" not in line
        for word in line.split()[1:-1]
    ]
    assert len(copied) > 8
    for path in copied:
        assert (repository / path).exists()
        assert any(fnmatch.fnmatch(path, pattern) for pattern in passed), path


def test_the_check_reads_the_base_from_the_dockerfile(dockerfile):
    assert image_check.base_name(dockerfile).startswith("python:3.11-")


def test_every_variant_has_its_stage(dockerfile):
    for variant in image_check.VARIANTS:
        assert f"FROM ${{BASE}} AS variant-{variant}\n" in dockerfile


def test_without_root_or_programs_the_check_says_what_it_needs(monkeypatch):
    monkeypatch.setattr(buildah.shutil, "which", lambda program: None)
    command = [sys.executable, "-m", "tools.image_check", "--variants=cpu"]
    environment = {key: value for key, value in os.environ.items() if key != "PATH"}
    done = subprocess.run(
        command, env=environment | {"PATH": "/nowhere"}, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: needs buildah, debootstrap, ")
    assert done.stderr.count("\n") == 1


def test_docker_commands_of_the_docs_exist(repository):
    """What follows the image's name is a command with flags of its own."""
    text = (repository / "README.md").read_text()
    text += (repository / "docs" / "containers.md").read_text()
    blocks = "\n".join(block for block, _ in documented.blocks(text)).replace("\\\n", " ")
    lines = re.findall(r"^docker run .*? alexnet-tf(?::\w+)? (\w+)(.*)$", blocks, re.MULTILINE)
    assert len(lines) >= 4
    for name, arguments in lines:
        command = documented.Command(f"alexnet_tf.{name}", tuple(arguments.split()))
        plain = {flag.partition(".")[0] for flag in command.flags}
        assert plain <= test_docs.flags_of(command.module, ""), name


def image_with(labels, folder):
    """A stand-in for an unpacked image, of which labels alone are looked at."""
    (folder / "data").mkdir(exist_ok=True)
    named = {f"org.opencontainers.image.{key}": value for key, value in labels.items()}
    return checks.Image(folder, {"Env": [], "Labels": named}, folder, "cpu")


def test_the_check_looks_at_the_labels(dockerfile, tmp_path):
    found = re.findall(r"org\.opencontainers\.image\.([a-z.]+)=", dockerfile)
    labels = dict.fromkeys(found, "something") | {"version": alexnet_common.__version__}
    assert image_with(labels, tmp_path).has_labels()
    for key in found:
        with pytest.raises(checks.CheckFailed, match=key):
            image_with(labels | {key: ""}, tmp_path).has_labels()
    # The Dockerfile's own words where no commit was named.
    with pytest.raises(checks.CheckFailed, match="labels revision"):
        image_with(labels | {"revision": "unknown"}, tmp_path).has_labels()
    with pytest.raises(checks.CheckFailed, match="version 0.0.1"):
        image_with(labels | {"version": "0.0.1"}, tmp_path).has_labels()


METADATA = """Metadata-Version: 2.4
Name: alexnet-tf
Requires-Dist: numpy>=1.26
Requires-Dist: tomli; python_version < "3.11"
Provides-Extra: gpu
Requires-Dist: tensorflow[and-cuda]; extra == "gpu"
Provides-Extra: test
Requires-Dist: pytest>=8; extra == "test"

Requires-Dist: not a header
"""


def test_requirements_of_a_wheel(repository):
    script = runpy.run_path(str(repository / "deploy" / "requirements.py"))
    plain = ["numpy>=1.26", 'tomli; python_version < "3.11"']
    assert script["requirements"](METADATA, set()) == plain
    assert script["requirements"](METADATA, {"gpu"}) == [*plain, "tensorflow[and-cuda]"]
    with pytest.raises(ValueError, match="cuda"):
        script["requirements"](METADATA, {"cuda"})


@pytest.fixture(scope="module")
def url_of_server(repository):
    return runpy.run_path(str(repository / "deploy" / "healthcheck.py"))["url_of_server"]


@pytest.mark.parametrize(
    ("line", "url"),
    [
        (
            "/opt/venv/bin/python /opt/venv/bin/alexnet-tf serve --model=/m",
            "http://127.0.0.1:8501/healthz",
        ),
        (
            "/sbin/docker-init -- python /opt/venv/bin/alexnet-tf serve --port 9000 --model=/m",
            "http://127.0.0.1:9000/healthz",
        ),
        ("python alexnet-serve --model=/m --host=0.0.0.0 --port=1", "http://127.0.0.1:1/healthz"),
        ("python alexnet-tf serve --model=/m --host=::", "http://[::1]:8501/healthz"),
        ("python alexnet-tf train --workdir serve", None),
        ("tensorboard --logdir=/runs --port=6006", None),
        ("", None),
    ],
)
def test_where_the_health_check_asks(url_of_server, line, url):
    assert url_of_server(line.split()) == url


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False)])
def test_the_health_check_asks_the_server(repository, tmp_path, status, healthy):
    """With the real server in the image: tools/images/checks.py."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            assert self.path == "/healthz"
            self.send_response(status)
            self.end_headers()

        def log_message(self, *arguments):
            """Nothing."""

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        line = f"alexnet-tf\0serve\0--port={server.server_port}\0"
        (tmp_path / "cmdline").write_text(line)
        script = (repository / "deploy" / "healthcheck.py").read_text()
        (tmp_path / "check.py").write_text(
            script.replace("/proc/1/cmdline", str(tmp_path / "cmdline"))
        )
        done = subprocess.run(
            [sys.executable, tmp_path / "check.py"],
            env=os.environ | {"http_proxy": "http://127.0.0.1:9"},
            capture_output=True,
        )
        server.shutdown()
    assert (done.returncode == 0) == healthy


@pytest.mark.slow
@pytest.mark.parametrize("variant", os.environ.get("ALEXNET_IMAGE_CHECK", "").split(",") or [""])
def test_images_are_built_and_do_what_a_user_does(variant, tmp_path):
    """`make image-check`: minutes and gigabytes, so only where ALEXNET_IMAGE_CHECK says so."""
    if not variant:
        pytest.skip("builds images: set ALEXNET_IMAGE_CHECK=cpu")
    buildah.check_usable()
    command = ["-m", "tools.image_check", f"--variants={variant}", f"--storage={tmp_path / 'x'}"]
    subprocess.run([sys.executable, *command], check=True)
