"""A load generator for the server: good, bad, huge, slow and cut-off requests at the same time.

    python -m tests.serving_load --model=MODEL [--seconds=60] [--images=DIR]

Starts `python -m alexnet_tf.serve` on a free port of loopback, compares every good answer with the
SavedModel's own, expects a 4xx for the others, watches the server's memory, and compares its
throughput with calling the SavedModel in a loop at the same batch. Prints JSON; exit status 1 if
anything was wrong.
"""

from __future__ import annotations

import argparse
import base64
import collections
import contextlib
import http.client
import io
import json
import os
import pathlib
import random
import re
import signal
import socket
import statistics
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np

NAME = "load"
MAX_BODY_MB = 8
BODY_TIMEOUT = 2.0
PREDICT = f"/v1/models/{NAME}:predict"


@contextlib.contextmanager
def serving(model: str, *flags: str) -> Iterator[tuple[int, subprocess.Popen]]:
    """A server in a process of its own: its port, and the process."""
    arguments = ["--port=0", f"--name={NAME}", f"--max_body_mb={MAX_BODY_MB}"]
    arguments += [f"--model={model}", f"--body_timeout={BODY_TIMEOUT}", *flags]
    process = subprocess.Popen(
        [sys.executable, "-m", "alexnet_tf.serve", *arguments], stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    try:
        lines = []
        for line in process.stderr:
            lines.append(line)
            found = re.search(r"serving .* on http://127.0.0.1:(\d+)/", line)
            if found:
                break
        else:
            raise RuntimeError(f"the server did not start: {''.join(lines)}")
        # What it says from now on must not fill the pipe.
        threading.Thread(target=process.stderr.read, daemon=True).start()
        yield int(found[1]), process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=60)


def pictures(folder: str | None, count: int = 24) -> list[bytes]:
    """Image files: of a folder, or of several kinds made here."""
    if folder:
        paths = sorted(path for path in pathlib.Path(folder).rglob("*") if path.is_file())
        random.Random(0).shuffle(paths)
        return [path.read_bytes() for path in paths[:count]]
    from PIL import Image

    draw = np.random.default_rng(0)
    made = []
    for number in range(count):
        height, width = draw.integers(60, 700, 2)
        coarse = draw.integers(0, 256, (9, 9, 3), np.uint8)
        image = Image.fromarray(coarse).resize((int(width), int(height)))
        kind, mode = [("JPEG", "RGB"), ("PNG", "RGB"), ("JPEG", "L"), ("JPEG", "CMYK")][number % 4]
        buffer = io.BytesIO()
        image.convert(mode).save(buffer, kind)
        made.append(buffer.getvalue())
    return made


def post(port: int, path: str, body: bytes, headers: dict[str, str] | None = None) -> tuple:
    """Status and JSON of the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    try:
        connection.request("POST", path, body, headers or {})
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def encoded(contents: list[bytes]) -> list[dict[str, str]]:
    return [{"b64": base64.b64encode(content).decode()} for content in contents]


class Load:
    """Clients of every kind, and what they saw.

    Args:
        port: the server's.
        contents: image files.
        expected: their probabilities, float32 [n, classes].
    """

    def __init__(self, port: int, contents: list[bytes], expected: np.ndarray):
        self.port, self.contents, self.expected = port, contents, expected
        self.counts: collections.Counter[str] = collections.Counter()
        self.wrong: list[str] = []
        self._lock = threading.Lock()

    def run(self, seconds: float) -> None:
        """All kinds of clients at once, for that long."""
        end = time.monotonic() + seconds
        kinds: list[Callable[[random.Random], None]] = [
            self.rows, self.columns, self.form, self.rows, self.half_good,
            self.bad, self.huge, self.slow_body, self.cut_off,
        ]  # fmt: skip

        def client(number: int, kind: Callable[[random.Random], None]) -> None:
            draw = random.Random(number)
            while time.monotonic() < end:
                try:
                    kind(draw)
                except Exception as error:
                    self._note(kind.__name__, f"{type(error).__name__}: {error}")

        threads = [
            threading.Thread(target=client, args=(number, kind), daemon=True)
            for number, kind in enumerate(kinds)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(seconds + 180)
            if thread.is_alive():
                self._note("client", "a request was never answered")

    def rows(self, draw: random.Random) -> None:
        chosen = self._choose(draw)
        status, answer = self._predict({"instances": encoded([self.contents[i] for i in chosen])})
        found = [row["probabilities"] for row in answer.get("predictions", [])]
        self._compare("rows", status, found, chosen, answer)

    def columns(self, draw: random.Random) -> None:
        chosen = self._choose(draw)
        values = encoded([self.contents[i] for i in chosen])
        status, answer = self._predict({"inputs": {"image_bytes": values}})
        found = answer.get("outputs", {}).get("probabilities", [])
        self._compare("columns", status, found, chosen, answer)

    def form(self, draw: random.Random) -> None:
        chosen = self._choose(draw)
        parts = b"".join(
            b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
            + self.contents[i]
            + b"\r\n"
            for i in chosen
        )
        kind = {"Content-Type": "multipart/form-data; boundary=x"}
        status, answer = post(self.port, "/predict", parts + b"--x--\r\n", kind)
        found = [[best["probability"] for best in r["top_5"]] for r in answer.get("results", [])]
        self._compare("form", status, found, chosen, answer, best_only=True)

    def half_good(self, draw: random.Random) -> None:
        """A bad image between good ones costs its own row only."""
        chosen = self._choose(draw)
        values = encoded([self.contents[i] for i in chosen])
        values.insert(1, {"b64": "bm8gaW1hZ2U="})
        status, answer = self._predict({"instances": values})
        rows = answer.get("predictions", [])
        valid = [row["valid"] for row in rows]
        if valid != [number != 1 for number in range(len(values))]:
            self._note("half_good", f"valid is {valid}")
        found = [row["probabilities"] for row in rows if row["valid"]]
        self._compare("half_good", status, found, chosen, answer)

    def bad(self, draw: random.Random) -> None:
        cut = self.contents[draw.randrange(len(self.contents))][:-40]
        bodies = {
            "not JSON": b"{",
            "deep": b"[" * 100_000,
            "no key": b"{}",
            "bad signature": b'{"signature_name": "x", "instances": [1]}',
            "not base64": b'{"instances": [{"b64": "%%"}]}',
            "not an image": b'{"instances": [{"b64": "bm8gaW1hZ2U="}]}',
            "cut image": json.dumps({"instances": encoded([cut])}).encode(),
        }
        name = draw.choice(list(bodies))
        self._expect(f"bad: {name}", post(self.port, PREDICT, bodies[name]), {400})
        self._expect("bad: path", post(self.port, "/v1/models/other:predict", b"{}"), {404})

    def huge(self, draw: random.Random) -> None:
        body = b"x" * ((MAX_BODY_MB << 20) + 1)
        self._expect("huge: body", post(self.port, PREDICT, body), {413})
        many = json.dumps({"instances": encoded([b"x"] * 1000)}).encode()
        self._expect("huge: rows", post(self.port, PREDICT, many), {413})
        self._expect("huge: pixels", post(self.port, "/predict", bomb()), {400})

    def slow_body(self, draw: random.Random) -> None:
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as connection:
            connection.sendall(f"POST {PREDICT} HTTP/1.1\r\nHost: x\r\n".encode())
            connection.sendall(b"Content-Length: 1000\r\n\r\n{")
            status = int(connection.recv(4096).split()[1])
        self._expect("slow", (status, {"error": "-"}), {408})

    def cut_off(self, draw: random.Random) -> None:
        body = json.dumps({"instances": encoded(self.contents[:2])}).encode()
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as connection:
            connection.sendall(f"POST {PREDICT} HTTP/1.1\r\nHost: x\r\n".encode())
            connection.sendall(f"Content-Length: {len(body)}\r\n\r\n".encode())
            connection.sendall(body[: draw.randrange(len(body))])
            # A reset in place of a farewell.
            linger = struct.pack("ii", 1, 0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self._count("cut off")
        time.sleep(0.02)

    def _choose(self, draw: random.Random) -> list[int]:
        return draw.sample(range(len(self.contents)), draw.randint(1, 6))

    def _predict(self, document: dict) -> tuple:
        return post(self.port, PREDICT, json.dumps(document).encode())

    def _compare(self, kind, status, found, chosen, answer, best_only=False) -> None:
        self._count(f"good: {kind}")
        if status != 200:
            self._note(kind, f"status {status}: {str(answer)[:200]}")
            return
        expected = self.expected[chosen]
        if best_only:
            expected = -np.sort(-expected, axis=1)[:, :5]
        if np.shape(found) != expected.shape or np.abs(found - expected).max() > 1e-5:
            self._note(kind, "other probabilities")

    def _expect(self, kind: str, answered: tuple, statuses: set[int]) -> None:
        self._count(kind)
        status, answer = answered
        if status not in statuses or not answer.get("error"):
            self._note(kind, f"status {status}: {str(answer)[:200]}")

    def _count(self, kind: str) -> None:
        with self._lock:
            self.counts[kind] += 1

    def _note(self, kind: str, what: str) -> None:
        with self._lock:
            self.wrong.append(f"{kind}: {what}")


def bomb() -> bytes:
    """A PNG of a few bytes that says it has 400 million pixels."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "PNG")
    data = bytearray(buffer.getvalue())
    data[16:24] = struct.pack(">II", 20_000, 20_000)
    return bytes(data)


def resident(process: subprocess.Popen, field: str = "VmRSS") -> float:
    """Memory of a process in MiB."""
    text = pathlib.Path(f"/proc/{process.pid}/status").read_text()
    return int(re.search(rf"{field}:\s+(\d+)", text)[1]) / 1024


def throughput(server, signature, contents: list[bytes], batch: int, seconds: float) -> dict:
    """Images per second of the server and of the SavedModel in a loop, in turns; medians.

    On a machine that others use, the processor's seconds per image compare better than rates: the
    server's process against this one while it calls the SavedModel.
    """
    import tensorflow as tf

    port, process = server
    chosen = (contents * (batch // len(contents) + 1))[:batch]
    tensor = tf.constant(chosen)
    body = json.dumps({"instances": encoded(chosen)}).encode()

    def rate(
        call: Callable[[], object], clients: int, cpu: Callable[[], float]
    ) -> tuple[float, float]:
        counts = [0] * clients
        begin, used = time.monotonic(), cpu()

        def work(client: int) -> None:
            while time.monotonic() < begin + seconds:
                call()
                counts[client] += batch

        threads = [threading.Thread(target=work, args=(client,)) for client in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sum(counts) / (time.monotonic() - begin), (cpu() - used) / sum(counts)

    def call_saved_model() -> None:
        signature(image_bytes=tensor)

    def ask_server() -> None:
        status, answer = post(port, PREDICT, body)
        assert status == 200, answer

    call_saved_model()
    ask_server()
    rounds = [
        (
            rate(call_saved_model, 1, time.process_time),
            rate(ask_server, 2, lambda: processor_seconds(process)),
        )
        for _ in range(7)
    ]
    ours, theirs = zip(*rounds, strict=True)
    (loop_rate, loop_cpu), (server_rate, server_cpu) = (
        [statistics.median(values) for values in zip(*part, strict=True)] for part in (ours, theirs)
    )
    return {
        "batch": batch,
        "saved_model_images_per_s": round(loop_rate, 1),
        "server_images_per_s": round(server_rate, 1),
        "server_share": round(statistics.median(b[0] / a[0] for a, b in rounds), 3),
        "saved_model_cpu_ms_per_image": round(1e3 * loop_cpu, 2),
        "server_cpu_ms_per_image": round(1e3 * server_cpu, 2),
        "server_share_by_cpu": round(loop_cpu / server_cpu, 3),
    }


def processor_seconds(process: subprocess.Popen) -> float:
    """What a process has used of processors, in user and system mode."""
    fields = pathlib.Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(
    model: str, contents: list[bytes], seconds: float, batches: list[int]
) -> tuple[dict, list[str]]:
    """The whole: mixed load, memory, throughput, the end. What was seen, and what was wrong."""
    import tensorflow as tf

    loaded = tf.saved_model.load(model)
    signature = loaded.signatures["serving_default"]
    expected = signature(image_bytes=tf.constant(contents))["probabilities"].numpy()
    report: dict = {"images": len(contents), "seconds": seconds}
    with serving(model) as (port, process):
        for _ in range(3):
            body = json.dumps({"instances": encoded(contents)}).encode()
            post(port, PREDICT, body)
        report["memory_mib_before"] = round(resident(process))
        load = Load(port, contents, expected)
        load.run(seconds)
        report["requests"] = dict(sorted(load.counts.items()))
        report["memory_mib_after"] = round(resident(process))
        report["memory_mib_peak"] = round(resident(process, "VmHWM"))
        report["throughput"] = [
            throughput((port, process), signature, contents, batch, 4.0) for batch in batches
        ]
        begin = time.monotonic()
        process.send_signal(signal.SIGTERM)
        report["exit_status"] = process.wait(timeout=60)
        report["seconds_to_stop"] = round(time.monotonic() - begin, 2)
    if report["exit_status"]:
        load.wrong.append(f"exit status {report['exit_status']}")
    return report, load.wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--images", help="a folder of image files; made here without it")
    parser.add_argument("--batches", default="8,32", help="of the throughput, such as 8,32")
    options = parser.parse_args()
    batches = [int(batch) for batch in options.batches.split(",") if batch]
    report, wrong = measure(options.model, pictures(options.images), options.seconds, batches)
    print(json.dumps(report | {"wrong": len(wrong), "first_wrong": wrong[:5]}, indent=1))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
