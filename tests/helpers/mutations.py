"""Damaged image files, and what a process and its children take of memory."""

from __future__ import annotations

import random
from collections.abc import Sequence


def mutated(files: Sequence[bytes], generator: random.Random) -> bytes:
    """One file after one to three of: flips, cuts, foreign headers, noise, lies about its size."""
    data = bytearray(generator.choice(files))
    for _ in range(generator.randint(1, 3)):
        way = generator.randrange(7)
        place = generator.randrange(max(1, len(data)))
        if way == 0:
            for _ in range(generator.randint(1, 40)):
                if data:
                    data[generator.randrange(len(data))] ^= 1 << generator.randrange(8)
        elif way == 1:
            del data[place:]
        elif way == 2:
            other = generator.choice(files)
            length = generator.randint(2, 64)
            data[:length] = other[:length]
        elif way == 3:
            length = generator.randint(1, 200)
            data[place : place + length] = generator.randbytes(length)
        elif way == 4:
            data[place:place] = data[: generator.randint(1, 2_000)]
        elif way == 5:
            # Width and height lie within the first bytes of most formats.
            at = generator.randrange(2, 30)
            data[at : at + 2] = generator.choice(
                (b"\xff\xff", b"\x7f\xff", b"\x00\x00", b"\x20\x00")
            )
        else:
            del data[place : place + generator.randint(1, 500)]
    return bytes(data)


def peak_resident_bytes(pid: int) -> int:
    """The largest peak of a process and of its children so far; 0 when it is gone."""
    peak = 0
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            processes = [str(pid), *file.read().split()]
        for process in processes:
            with open(f"/proc/{process}/status") as file:
                for line in file:
                    if line.startswith("VmHWM:"):
                        peak = max(peak, int(line.split()[1]) * 1024)
    except OSError:
        pass
    return peak
