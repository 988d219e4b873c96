"""Coverage-guided fuzzing of everything that reads files of others: `make fuzz`.

    python -m tests.fuzz [TARGET ...] [--cpu_seconds=600] [--findings=FOLDER] [--keep=FOLDER]

Each target runs in a process of its own with atheris, from the corpus in `tests/fuzz/corpus`, until
it has used so many CPU seconds. An input at which the program raises anything but its own one-line
errors is written to --findings, once per place in the code, and so is one that takes too much
memory or time. Exit status 1 if there was any.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time
import traceback

CORPUS = pathlib.Path(__file__).parent / "corpus"
# Largest input in bytes: what matters of these formats lies in the first kilobytes.
LONGEST = 4096
# Of memory, what libFuzzer takes for a leak or a bomb; TensorFlow alone needs a part of it.
MOST_MEGABYTES = 4096
# What a file may add to what the process has before it: a worker of the converter shall stay below
# 2 GB.
MOST_ADDED_MEGABYTES = 1100
# Of a processor. By the clock, as libFuzzer counts, a busy machine makes any file a slow one.
MOST_CPU_SECONDS = 20
HANGS_AFTER_SECONDS = 1200


def place(error: BaseException) -> str:
    """Where in our code it was raised: one finding per place and kind of error."""
    ours = [
        f"{pathlib.Path(frame.filename).name}:{frame.lineno}"
        for frame in traceback.extract_tb(error.__traceback__)
        if any(part in frame.filename for part in ("alexnet_", "data_prep"))
    ]
    return f"{type(error).__name__}-{ours[-1] if ours else 'nowhere'}".replace(":", "-")


def peak_megabytes() -> int:
    """The most memory that this process has had so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def resident_megabytes() -> int:
    """The memory that this process has."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() >> 20


def run_one(name: str, cpu_seconds: int, findings: pathlib.Path, keep: pathlib.Path) -> None:
    """Runs one target in this process, which ends here."""
    import atheris

    with atheris.instrument_imports(include=["alexnet_common", "alexnet_tf", "data_prep"]):
        from tests.fuzz import targets

    function = targets.TARGETS[name]
    start = time.process_time()
    counts = {"inputs": 0, "refused": 0, "read": 0}
    places: set[str] = set()

    def found(where: str, content: bytes, what: str) -> None:
        if where not in places:
            places.add(where)
            digest = hashlib.sha256(content).hexdigest()[:8]
            (findings / f"{name}-{where}-{digest}").write_bytes(content)
            print(f"finding: {name}: {where}: {what}", file=sys.stderr)

    def one(content: bytes) -> None:
        counts["inputs"] += 1
        began = time.process_time()
        peak_before, resident = peak_megabytes(), resident_megabytes()
        try:
            function(content)
            counts["read"] += 1
        except targets.Refused:
            counts["refused"] += 1
        except Exception as error:
            found(place(error), content, f"{error!r:.300}")
        peak = peak_megabytes()
        if peak > peak_before and peak - resident > MOST_ADDED_MEGABYTES:
            found("memory", content, f"from {resident} to {peak} MB")
        now = time.process_time()
        if now - began > MOST_CPU_SECONDS:
            found("time", content, f"{now - began:.0f} CPU s")
        used = now - start
        if used > cpu_seconds:
            print(
                f"{name}: {counts['inputs']:,} inputs in {used:.0f} CPU s "
                f"({counts['read']:,} read, {counts['refused']:,} refused), "
                f"{len(list(keep.iterdir())):,} reached new code, "
                f"{len(places)} findings, peak {peak_megabytes()} MB",
                flush=True,
            )
            sys.stderr.flush()
            # What follows skips all that Python would do at its end.
            targets.FOLDER.cleanup()
            os._exit(1 if places else 0)

    arguments = [
        *(sys.argv[0], str(keep), str(CORPUS / name)),
        *(f"-max_len={LONGEST}", f"-rss_limit_mb={MOST_MEGABYTES}"),
        *(f"-timeout={HANGS_AFTER_SECONDS}", f"-report_slow_units={HANGS_AFTER_SECONDS}"),
        *(f"-artifact_prefix={findings}/{name}-crash-", "-verbosity=0", "-print_final_stats=0"),
    ]
    atheris.Setup(arguments, one)
    atheris.Fuzz()


def main() -> int:
    """Runs the targets one after the other."""
    names = sorted(path.name for path in CORPUS.iterdir())
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("targets", nargs="*", default=names, help=f"of {', '.join(names)}")
    parser.add_argument("--cpu_seconds", type=int, default=600, help="of each target")
    parser.add_argument("--findings", default="fuzz-findings", help="where inputs are written")
    parser.add_argument("--keep", help="where inputs that reach new code are written")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    flags = parser.parse_args()
    unknown = set(flags.targets) - set(names)
    if unknown:
        parser.error(f"no target {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    try:
        import atheris  # noqa: F401
    except ImportError:
        print("fuzzing needs atheris: make env EXTRAS=fuzz", file=sys.stderr)
        return 1
    findings = pathlib.Path(flags.findings)
    findings.mkdir(parents=True, exist_ok=True)
    if flags.alone:
        keep = pathlib.Path(flags.keep)
        run_one(flags.targets[0], flags.cpu_seconds, findings, keep)
        return 1  # Not reached: the target ends its process.
    failed = False
    with tempfile.TemporaryDirectory() as scratch:
        for name in flags.targets:
            keep = pathlib.Path(flags.keep or scratch) / name
            keep.mkdir(parents=True, exist_ok=True)
            done = subprocess.run(
                [sys.executable, "-m", "tests.fuzz", name, "--alone", f"--keep={keep}"]
                + [f"--cpu_seconds={flags.cpu_seconds}", f"--findings={findings}"],
            )
            failed = failed or done.returncode != 0
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
