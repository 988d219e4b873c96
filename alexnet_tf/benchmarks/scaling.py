"""A model of training on 1 to 1,024 GPUs: compute, all-reduce and input; nothing is measured.

Example:
  python -m alexnet_tf.benchmark scaling
  python -m alexnet_tf.benchmark scaling --batch_per_gpu=1024 --link=ethernet

A step takes the time of a fit to two measured ones (an H200, bfloat16, XLA), plus what the network
needs to sum the gradients, as far as the backward pass does not hide it; or the input, if that
takes longer. Bandwidths are the makers' figures times --efficiency. docs/scaling.md has the
formulas and says what follows. Prints JSON; a table on stderr.
"""

from __future__ import annotations

import dataclasses
import json
import math

from absl import flags

from alexnet_common.errors import UsageError
from alexnet_common.messages import log

PARAMETERS = 60_965_224
CONVOLUTIONAL = 2_334_080
GPUS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
GPUS_PER_MACHINE = 8
# Seconds of a step by images per GPU: measured 2026-11-26, 37,357 and 52,285 images/s.
MEASURED = {128: 128 / 37_357, 1024: 1024 / 52_285}
# Values per image that columns, or the parts of a fully connected layer, must tell one another.
POOL2_OF_A_COLUMN = 13 * 13 * 128
POOL5 = 6 * 6 * 256
HIDDEN, CLASSES = 4096, 1000


@dataclasses.dataclass(frozen=True)
class Link:
    """A way between GPUs: bytes/s that one sends, and seconds until the first arrives."""

    bandwidth: float
    latency: float


# Per GPU and direction: NVLink 4 (H100, H200), one NDR InfiniBand port, and 100 Gbit/s shared by
# the eight GPUs of a machine. Latencies are the usual order of magnitude.
LINKS = {
    "nvlink": Link(450e9, 2e-6),
    "infiniband": Link(50e9, 5e-6),
    "ethernet": Link(12.5e9 / GPUS_PER_MACHINE, 30e-6),
}


def define_flags(flag_values: flags.FlagValues) -> None:
    """Defines the benchmark's flags."""
    flags.DEFINE_integer(
        "batch_per_gpu", 128, "Images per GPU and step.", lower_bound=1, flag_values=flag_values
    )
    flags.DEFINE_integer(
        "global_batch",
        0,
        "Images per step in all, instead of --batch_per_gpu.",
        lower_bound=0,
        flag_values=flag_values,
    )
    flags.DEFINE_enum(
        "link",
        "infiniband",
        ["infiniband", "ethernet"],
        "Between machines of eight GPUs; inside them it is NVLink.",
        flag_values=flag_values,
    )
    flags.DEFINE_float(
        "efficiency",
        0.8,
        "Share of the links' bandwidth that is reached.",
        lower_bound=0.01,
        upper_bound=1.0,
        flag_values=flag_values,
    )
    flags.DEFINE_float(
        "overlap",
        0.0,
        "Share of the step behind which sums of gradients can hide. This trainer sums at the end.",
        lower_bound=0.0,
        upper_bound=1.0,
        flag_values=flag_values,
    )
    flags.DEFINE_float(
        "input_per_gpu",
        80_000.0,
        "Images/s that the input yields for each GPU: raw records, eight cores at 10,000 each.",
        lower_bound=1.0,
        flag_values=flag_values,
    )


def main(flag_values: flags.FlagValues, arguments: list[str]) -> int:
    """Prints the model's figures."""
    if arguments:
        raise UsageError(f"unexpected argument {arguments[0]!r}")
    rows = []
    for gpus in GPUS:
        batch = flag_values.batch_per_gpu
        if flag_values.global_batch:
            batch = flag_values.global_batch // gpus
            if batch < 1:
                break
        rows.append(_row(gpus, batch, flag_values))
        log(
            "{gpus:5} GPUs x {batch_per_gpu:5}: data parallel {data_parallel:11,.0f} images/s "
            "({efficiency:4.0%}), two columns {two_columns:11,.0f}, hybrid {hybrid:11,.0f}".format(
                **rows[-1]
            )
        )
    print(json.dumps({"benchmark": "scaling", "link": flag_values.link, "model": rows}))
    return 0


def _row(gpus: int, batch: int, flag_values: flags.FlagValues) -> dict[str, float]:
    links = (LINKS["nvlink"], LINKS[flag_values.link])
    reached, overlap = flag_values.efficiency, flag_values.overlap
    fastest = gpus * flag_values.input_per_gpu
    speeds = {}
    for name, seconds in (
        ("data_parallel", data_parallel(gpus, batch, links, reached, overlap)),
        ("two_columns", two_columns(gpus, batch, links, reached, overlap)),
        ("hybrid", hybrid(gpus, batch, links, reached, overlap)),
    ):
        speeds[name] = min(gpus * batch / seconds, fastest)
    alone = min(batch / compute(batch), flag_values.input_per_gpu)
    return {
        "gpus": gpus,
        "batch_per_gpu": batch,
        "all_reduce_ms": 1e3 * all_reduce(gpus, 4 * PARAMETERS, links, reached),
        "compute_ms": 1e3 * compute(batch),
        "efficiency": speeds["data_parallel"] / (gpus * alone),
        **speeds,
    }


def compute(images: float) -> float:
    """Seconds of a step on one GPU: a fixed part and one per image, through both measurements."""
    (few, short), (many, long) = sorted(MEASURED.items())
    per_image = (long - short) / (many - few)
    return short + (images - few) * per_image


def ring(ranks: int, size: float, link: Link, efficiency: float) -> float:
    """Seconds to sum `size` bytes over `ranks` in a ring: each sends 2 (n - 1) / n of them."""
    if ranks < 2:
        return 0.0
    sent = 2 * (ranks - 1) / ranks * size
    return sent / (link.bandwidth * efficiency) + 2 * (ranks - 1) * link.latency


def tree(ranks: int, size: float, link: Link, efficiency: float) -> float:
    """The same up and down a double binary tree: all bytes twice, in 2 log2(n) hops."""
    if ranks < 2:
        return 0.0
    hops = 2 * math.ceil(math.log2(ranks))
    return 2 * size / (link.bandwidth * efficiency) + hops * link.latency


def all_reduce(
    ranks: int,
    size: float,
    links: tuple[Link, Link],
    efficiency: float,
    in_a_machine: int = GPUS_PER_MACHINE,
) -> float:
    """Seconds to sum over all ranks: inside machines first, then a part of the sum each between.

    The faster one of ring and tree.
    """
    inside = min(ranks, in_a_machine)
    machines = -(-ranks // in_a_machine)
    between = size / inside
    ways = (ring, tree)
    return min(way(inside, size, links[0], efficiency) for way in ways) + min(
        way(machines, between, links[1], efficiency) for way in ways
    )


def data_parallel(
    gpus: int, batch: int, links: tuple[Link, Link], efficiency: float, overlap: float
) -> float:
    """Seconds of a step of `batch` images per GPU, all gradients summed."""
    own = compute(batch)
    return own + max(0.0, all_reduce(gpus, 4 * PARAMETERS, links, efficiency) - overlap * own)


def two_columns(
    gpus: int, batch: int, links: tuple[Link, Link], efficiency: float, overlap: float
) -> float:
    """The same where pairs of GPUs hold a column each: as many images per GPU in the mean."""
    if gpus < 2:
        return compute(batch)
    images = 2 * batch  # A pair computes the images of two, half of the network on each.
    own = compute(images) / 2
    # What a column tells the other: pool2, and half of pool5, fc6 and fc7; the same backwards.
    values = 2 * images * (POOL2_OF_A_COLUMN + POOL5 / 2 + HIDDEN)
    told = 4 * values / (links[0].bandwidth * efficiency) + 8 * links[0].latency
    pairs = GPUS_PER_MACHINE // 2
    summed = all_reduce(gpus // 2, 4 * PARAMETERS / 2, links, efficiency, pairs)
    return own + told + max(0.0, summed - overlap * own)


def hybrid(
    gpus: int, batch: int, links: tuple[Link, Link], efficiency: float, overlap: float
) -> float:
    """The same with data-parallel convolutions and the fully connected layers cut into parts.

    "One weird trick" (arXiv:1404.5997), its first scheme: every GPU needs the last convolution's
    output of all images, and part by part those of the layers behind it; the same backwards.
    """
    own = compute(batch)
    slowest = links[0] if gpus <= GPUS_PER_MACHINE else links[1]
    others = (gpus - 1) * batch
    received = 2 * others * (POOL5 + 2 * HIDDEN + CLASSES)
    told = 4 * received / (slowest.bandwidth * efficiency) + (8 * slowest.latency if others else 0)
    summed = all_reduce(gpus, 4 * CONVOLUTIONAL, links, efficiency)
    return own + told + max(0.0, summed - overlap * own)
