"""Every image file of a folder through the converter, an exported network, Pillow and OpenCV.

    python -m tests.corpus FOLDER [--mutations=N] [--model=EXPORT]

Converts all files with --on_error=skip, predicts each, and compares: the converter's pixels with
Pillow's and OpenCV's, the network's answer to a file with its answer to the converter's pixels.
Prints what disagrees, crashes, hangs, or takes much memory; exit status 1 if anything does.
What the converter refuses is listed with its reason, and is no fault.
"""

from __future__ import annotations

import argparse
import collections
import json
import multiprocessing
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import time
from typing import Any

import numpy as np

from tests.helpers import finished_run, image_oracles, mutations, small_dataset

FILES_PER_PREDICT = 100
MAX_RESIDENT_BYTES = 1_800_000_000
SAME_PROBABILITY = 1e-4


class Worker:
    """A process that answers one question after the other, and whose death is an answer too."""

    def __init__(self, model: str, timeout: float) -> None:
        self._model, self._timeout = model, timeout
        self._process: Any = None
        self._pipe: Any = None

    def ask(self, question: str, *arguments: Any) -> tuple[Any, int]:
        """The answer and the peak of memory in bytes; the answer is a text if it died or hung."""
        if self._process is None:
            context = multiprocessing.get_context("spawn")
            self._pipe, theirs = context.Pipe()
            self._process = context.Process(target=_answer, args=(theirs, self._model), daemon=True)
            self._process.start()
            theirs.close()
            self._pipe.recv()  # it has imported all that it needs
        self._pipe.send((question, arguments))
        try:
            if self._pipe.poll(self._timeout):
                return self._pipe.recv()
            found = f"hangs (more than {self._timeout:g} s)"
        except EOFError:
            self._process.join()
            found = f"ends the process ({self._process.exitcode})"
        self.close()
        return found, 0

    def close(self) -> None:
        """Ends the process."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process = None


def _answer(pipe: Any, model: str) -> None:
    # Libraries in C write their complaints about every damaged file here.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    exported = image_oracles.Exported(model)
    questions = {
        "converter": image_oracles.converter,
        "others": image_oracles.others,
        "exported": exported.answers,
    }
    pipe.send("ready")
    while True:
        question, arguments = pipe.recv()
        try:
            answer = image_oracles.measure_memory(questions[question], *arguments)
        except Exception as error:
            answer = (f"raises {type(error).__name__}: {error}", 0)
        pipe.send(answer)


def files_of(folder: pathlib.Path) -> list[pathlib.Path]:
    """Every regular file, hidden ones left out."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and not any(p.startswith(".") for p in path.relative_to(folder).parts)
    )


def compare(files: dict[str, pathlib.Path], model: str, size: int, timeout: float) -> Report:
    """Asks about every file alone, in a process that may die of it."""
    report = Report()
    worker = Worker(model, timeout)
    for name, path in files.items():
        found, peak = worker.ask("converter", str(path), size)
        report.memory(name, "converter", peak)
        if isinstance(found, str):
            report.fault(name, f"converter {found}")
            continue
        square = found.get("square")
        if square is None:
            report.refused[name] = found["refused"]
        else:
            report.converted[name] = square
        theirs, _ = worker.ask("others", str(path))
        if isinstance(theirs, dict):
            _judge_others(report, name, square is not None, theirs)
        answers, peak = worker.ask("exported", str(path), square)
        report.memory(name, "exported network", peak)
        if isinstance(answers, str):
            report.fault(name, f"exported network {answers}")
        elif square is not None:
            report.expected[name] = answers["pixels"]
            if "refused" in answers:
                report.only_converter[name] = answers["refused"]
                if found["in_tensorflow"]:
                    report.fault(name, f"exported network refuses it: {answers['refused']}")
            elif np.abs(answers["bytes"] - answers["pixels"]).max() > SAME_PROBABILITY:
                report.fault(name, "exported network gives another answer than to the pixels")
        elif "bytes" in answers:
            report.fault(name, f"exported network answers; the converter: {found['refused']}")
    worker.close()
    return report


def _judge_others(report: Report, name: str, converted: bool, theirs: dict[str, str]) -> None:
    words = ", ".join(f"{who} {what}" for who, what in theirs.items())
    if not converted:
        if "reads it" in theirs.values():
            report.read_by_others[name] = words
    elif not {"same", "near"} & set(theirs.values()):
        # Where the two disagree among themselves, one of them is enough.
        if set(theirs.values()) == {"refuses"}:
            report.read_here_only.append(name)
        else:
            report.fault(name, f"pixels: {words}")


class Report:
    """What was found, by name of the file."""

    def __init__(self) -> None:
        self.faults: list[tuple[str, str]] = []
        self.refused: dict[str, str] = {}
        self.converted: dict[str, np.ndarray] = {}
        self.expected: dict[str, np.ndarray] = {}
        self.read_by_others: dict[str, str] = {}
        self.read_here_only: list[str] = []
        self.only_converter: dict[str, str] = {}
        self._peaks: list[tuple[int, str, str]] = []

    def fault(self, name: str, what: str) -> None:
        """Something that should not be."""
        self.faults.append((name, what))

    def memory(self, name: str, who: str, peak: int) -> None:
        """The peak of a process while it worked on a file."""
        self._peaks.append((peak, name, who))
        if peak > MAX_RESIDENT_BYTES:
            self.fault(name, f"{who} takes {peak:,} bytes of memory")

    def show(self, verbose: bool) -> None:
        """Prints all of it."""
        print(f"converted {len(self.converted)}, refused {len(self.refused)}")
        reasons = collections.Counter(reason[:60] for reason in self.refused.values())
        for reason, count in reasons.most_common(None if verbose else 15):
            print(f"  refused {count}: {reason}")
        print(f"refused here, read by Pillow or OpenCV: {len(self.read_by_others)}")
        for name, words in self.read_by_others.items() if verbose else ():
            print(f"  {name}: {self.refused[name]} ({words})")
        print(f"read here, refused by Pillow and OpenCV: {len(self.read_here_only)}")
        for name in self.read_here_only if verbose else ():
            print(f"  {name}")
        print(f"converted, refused by the exported graph: {len(self.only_converter)}")
        for name, reason in self.only_converter.items() if verbose else ():
            print(f"  {name}: {reason}")
        for peak, name, who in sorted(self._peaks, reverse=True)[:3]:
            print(f"peak {peak:,} bytes: {who}, {name}")
        for name, what in self.faults:
            print(f"FAULT {name}: {what}")
        print(f"faults: {len(self.faults)}")


def convert(
    files: dict[str, pathlib.Path], folder: pathlib.Path, size: int, report: Report
) -> None:
    """All files through the command; its answer must be that to every file alone."""
    from data_prep import dataset
    from data_prep.shards import records

    # A file alone is in both classes: a dataset has at least two.
    for number, (name, path) in enumerate(2 // len(files) * [*files.items()] or files.items()):
        place = folder / "images" / f"class{number % 2}"
        place.mkdir(parents=True, exist_ok=True)
        (place / name).symlink_to(path.resolve())
    status, said, peak = _run(
        [
            "data_prep.build_tfrecords", f"--train={folder / 'images'}", "--store=uint8",
            f"--output_dir={folder / 'data'}", f"--image_size={size}", "--on_error=skip",
            "--workers=1", "--train_shards=1",
        ]
    )  # fmt: skip
    report.memory("all", "build_tfrecords", peak)
    if status not in (0, 1) or "Traceback" in said or not (folder / "data/dataset.json").exists():
        report.fault("all", f"build_tfrecords ends with {status}: {said[-300:]}")
        return
    data = dataset.load(folder / "data")
    skipped = {entry.key.partition("/")[2] for entry in data.split("train").skipped}
    for name in skipped ^ report.refused.keys():
        report.fault(name, "build_tfrecords and the decoder disagree whether it is an image")
    with open(data.shard_path("train", 0), "rb") as file:
        for payload in records.read_payloads(file):
            example = records.decode_example(payload) or {}
            name = example["image/filename"].decode("utf-8", "surrogateescape")
            expected = report.converted.get(name)
            if expected is not None and example["image/raw"] != expected.tobytes():
                report.fault(name, "build_tfrecords stores other pixels")


def predict(files: dict[str, pathlib.Path], model: str, report: Report) -> None:
    """All files through the command; every one gets its own answer or its own line."""
    names = {str(path): name for name, path in files.items()}
    paths = list(names)
    for begin in range(0, len(paths), FILES_PER_PREDICT):
        part = paths[begin : begin + FILES_PER_PREDICT]
        with tempfile.NamedTemporaryFile(suffix=".json") as output:
            status, said, peak = _run(
                ["alexnet_tf.predict", f"--model={model}", f"--output={output.name}", *part]
            )
            text = pathlib.Path(output.name).read_text()
        report.memory(names[part[0]], "predict, from here", peak)
        if status not in (0, 1) or "Traceback" in said or not text:
            where = f"{names[part[0]]} to {names[part[-1]]}"
            report.fault(where, f"predict ends with {status}: {said[-300:]}")
            continue
        answered = {entry["file"]: entry.get("top_5") for entry in json.loads(text)}
        for path in part:
            _judge_prediction(report, names[path], answered.get(path), path in said)


def _judge_prediction(report: Report, name: str, top_5: Any, told: bool) -> None:
    expected = report.expected.get(name)
    if top_5 is None:
        if not told:
            report.fault(name, "predict says nothing of it")
        if expected is not None:
            report.fault(name, "predict refuses what the converter takes")
    elif expected is None:
        report.fault(name, "predict answers what the converter refuses")
    elif abs(top_5[0]["probability"] - float(expected.max())) > SAME_PROBABILITY:
        report.fault(name, "predict gives another answer than the converter's pixels")


def _run(arguments: list[str]) -> tuple[int, str, int]:
    """A command's exit status, its stderr, and the peak of its memory."""
    with tempfile.TemporaryFile("w+", errors="backslashreplace") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", *arguments], stderr=stderr, stdout=subprocess.DEVNULL
        )
        peak = 0
        while process.poll() is None:
            peak = max(peak, mutations.peak_resident_bytes(process.pid))
            time.sleep(0.05)
        stderr.seek(0)
        return process.returncode, stderr.read(), peak


def make_model(folder: pathlib.Path) -> str:
    """An exported small network with random weights: what it says depends on every pixel."""
    data_dir = small_dataset.make(
        folder / "its_data", image_size=finished_run.IMAGE_SIZE, classes=7
    )
    run = finished_run.make(folder / "its_run", data_dir)
    model = folder / "model"
    status, said, _ = _run(
        ["alexnet_tf.export", f"--workdir={run}", f"--output_dir={model}", "--views=1"]
    )
    if status:
        raise SystemExit(said)
    return str(model)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--mutations", type=int, default=0, help="damaged copies to try as well")
    parser.add_argument("--seed", type=int, default=0, help="seed of the mutations")
    parser.add_argument("--model", default="", help="an export; default: a small random network")
    parser.add_argument("--timeout", type=float, default=60, help="seconds for one file")
    parser.add_argument("--keep", type=pathlib.Path, help="folder for the mutated files at fault")
    parser.add_argument("--verbose", action="store_true", help="list what is no fault, too")
    flags = parser.parse_args()
    found = files_of(flags.folder)
    if not found:
        parser.error(f"{flags.folder}: holds no file")
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        model = flags.model or make_model(folder)
        files = {
            "__".join(path.relative_to(flags.folder).parts): path
            for path in found
        }  # fmt: skip
        files |= _mutated(found, flags.mutations, flags.seed, folder / "mutated")
        print(f"{len(files)} files", flush=True)
        facts = json.loads((pathlib.Path(model) / "export.json").read_text())
        report = compare(files, model, facts["image_size"], flags.timeout)
        convert(files, folder, facts["image_size"], report)
        predict(files, model, report)
        report.show(flags.verbose)
        if flags.keep:
            flags.keep.mkdir(parents=True, exist_ok=True)
            for name in {name for name, _ in report.faults} & files.keys():
                shutil.copy(files[name], flags.keep / name)
    return 1 if report.faults else 0


def _mutated(
    files: list[pathlib.Path], count: int, seed: int, folder: pathlib.Path
) -> dict[str, pathlib.Path]:
    generator = random.Random(seed)
    originals = [path.read_bytes() for path in files if os.path.getsize(path) < 1 << 20]
    folder.mkdir()
    made = {}
    for number in range(count):
        path = folder / f"mutated_{seed}_{number:05d}"
        path.write_bytes(mutations.mutated(originals, generator))
        made[path.name] = path
    return made


if __name__ == "__main__":
    sys.exit(main())
