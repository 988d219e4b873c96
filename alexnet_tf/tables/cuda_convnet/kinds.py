"""Layer types of the 2012 definition files, each as a row of the table."""

from __future__ import annotations

import dataclasses
import re
import zlib
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from alexnet_tf.tables import rows, shapes
from alexnet_tf.tables.cuda_convnet.rates import Rates
from alexnet_tf.tables.cuda_convnet.values import Values

_COPY = re.compile(r"(?:\w+\.)*make([wbc])\(\s*([^(),\s]+)\s*\)$")
_SOURCE = re.compile(r"([^\[\]]+)(?:\[(\d+)\])?$")


class Context(Protocol):
    """What the reader knows when it comes to a section."""

    strict: bool
    seed: int
    rates: Rates
    tree: tuple[int, ...]
    pool_ties: str

    def shape(self, name: str) -> shapes.Shape:
        """Shape that the row `name` yields."""

    def made(self, name: str) -> rows.Row | None:
        """The row called `name`, if there is one."""

    def above_weights(self, name: str) -> bool:
        """Whether `name` depends on weights."""

    def ask_for_import(self, target: str, source: str) -> None:
        """Remembers a variable that begins with another network's."""

    def note(self, text: str) -> None:
        """Remembers something to tell the user, once."""


@dataclass
class Layer:
    """A section on its way to a row.

    Attributes:
        values: the section of the definition file.
        parameters: the section of the parameter file, or None where there is no such file.
        inputs: names of rows, as images where the type needs them.
        common: name, inputs, column and neuron, the fields that all rows share.
        strict: whether the definition's numbers count for what parameter files hold.
    """

    values: Values
    parameters: Values | None
    inputs: list[str]
    common: dict[str, Any]
    strict: bool = False

    def setting(self, key: str, default: float) -> float:
        """A number of the parameter section, or of the definition's in the dialect of 2011.

        It cannot be below 0: roots of negative sums are no numbers.
        """
        if self.parameters is not None and (self.strict or self.parameters.has(key)):
            return self.parameters.number(key, low=0)
        if self.values.has(key) and not self.strict:
            return self.values.number(key, low=0)
        return default if self.parameters is None else self.parameters.number(key)


def conv(layer: Layer, context: Context) -> rows.Row:
    """`conv` and `local`: filters over one or more images."""
    values, count = layer.values, len(layer.inputs)
    local = values.text("type") == "local"
    sides = [context.shape(name)[0] for name in layer.inputs]
    channels = [context.shape(name)[2] for name in layer.inputs]
    filters = values.integers("filters", count, low=1)
    sizes = values.integers("filterSize", count, low=1)
    paddings = values.integers("padding", count, 0, low=0)
    strides = values.integers("stride", count, 1, low=1)
    groups = values.integers("groups", count, 1, low=1)
    sparse = values.booleans("randSparse", count) if values.has("randSparse") else [False] * count
    seen = (
        values.integers("filterChannels", count, low=1)
        if any(sparse)
        else [c // g for c, g in zip(channels, groups, strict=True)]
    )
    totals = {f * g for f, g in zip(filters, groups, strict=True)}
    if len(totals) != 1:
        raise values.error("times groups must be equal for all inputs", "filters")
    total = totals.pop()
    kernels = []
    fields = _weights(layer, context)
    for i in range(count):
        if sizes[i] > sides[i] + 2 * paddings[i]:
            raise values.error(f"is larger than the padded image of {sides[i]}", "filterSize")
        if channels[i] % groups[i]:
            raise values.error(f"must divide {channels[i]} channels", "groups")
        if context.strict:
            _strict_conv(values, channels[i], groups[i], total, sizes[i], strides[i])
        connections: tuple[int, ...] = ()
        if sparse[i]:
            connections = _connections(layer, context, i, channels[i], groups[i], seen[i])
        kernels.append(
            rows.Filters(
                size=sizes[i],
                stride=strides[i],
                padding=paddings[i],
                groups=groups[i],
                connections=connections,
                **fields[i],
            )
        )
    bias = context.rates.bias(layer.parameters, values.number("initB", 0.0))
    if local:
        return rows.Local(filters=total, kernels=tuple(kernels), bias=bias, **layer.common)
    if context.strict or values.has("partialSum"):
        part = values.integer("partialSum", low=0)
        modules = shapes.filter_windows(sides[0], kernels[0]).count ** 2
        if context.strict and part and modules % part:
            raise values.error(f"must be 0 or divide the {modules} modules", "partialSum")
        context.note("partialSum, which tuned a kernel of the 2012 GPUs, has no meaning here")
    shared = values.boolean("sharedBiases", True)
    return rows.Conv(
        filters=total, kernels=tuple(kernels), bias=bias, shared_biases=shared, **layer.common
    )


def _multiple(values: Values, channels: int, factor: int, always: bool = False) -> None:
    """Refuses numbers of channels that the GPU kernels of 2012 did not take."""
    if channels % factor and (always or channels > 3):
        few = "" if always else "at most 3 or "
        raise values.error(f"must be {few}a multiple of {factor}", "channels")


def _strict_conv(values, channels, groups, total, size, stride) -> None:
    _multiple(values, channels, 4)
    if groups > 1 and channels % (4 * groups):
        raise values.error("must be a multiple of 4 times groups", "channels")
    if total % (16 * groups):
        raise values.error("times groups must be a multiple of 16 times groups", "filters")
    if stride > size:
        raise values.error("must not be larger than filterSize", "stride")


def _connections(layer, context, index, channels, groups, seen) -> tuple[int, ...]:
    """Channels of each group of a `randSparse` input: permutations drawn from the seed."""
    values = layer.values
    if groups < 2:
        raise values.error("needs groups of 2 or more", "randSparse")
    if channels % seen or seen % 4 or (groups * seen) % channels:
        raise values.error(
            f"must be a multiple of 4 that divides {channels} channels, and times groups a "
            "multiple of them",
            "filterChannels",
        )
    context.note(
        "randSparse channels are drawn from the seed: the files do not hold the permutations"
    )
    key = [context.seed, zlib.crc32(f"{values.section.name}/{index}".encode())]
    generator = np.random.Generator(np.random.Philox(np.random.SeedSequence(key)))
    drawn = [generator.permutation(channels) for _ in range(groups * seen // channels)]
    return tuple(int(channel) for channel in np.concatenate(drawn))


def _weights(layer: Layer, context: Context) -> list[dict[str, Any]]:
    """Fields of `rows.Weights` for each input, from both files."""
    values, count = layer.values, len(layer.inputs)
    _ask_for_imports(layer, context)
    sources = [""] * count
    if values.has("weightSource"):
        names = [name.strip() for name in values.text("weightSource").split(",")]
        if len(names) != count:
            raise values.error(f"must hold {count} values, one per input", "weightSource")
        sources = []
        for name in names:
            sources.append(_source(layer, context, sources, name))
        context.note(
            "weightSource: the rates of the owner of a matrix govern it; those of the layers that "
            "share it are ignored"
        )
    init = values.numbers("initW", count)
    fields = context.rates.weights(layer.parameters, init, sources)
    kind = values.text("type")
    for field in fields:
        # What a layer of 2012 does not know it ignores.
        if kind != "conv":
            field.pop("norm_range", None)
        if kind == "treefc":
            field.pop("norm_ball", None)
    return fields


def _ask_for_imports(layer: Layer, context: Context) -> None:
    """Notes what `initw.makew(X)` and the like copy from another checkpoint."""
    values, name = layer.values, layer.common["name"]
    for key, kind in (("initWFunc", "w"), ("initBFunc", "b"), ("initCFunc", "c")):
        text = values.text(key, "")
        if not text or text.lower() == "none":
            continue
        match = _COPY.match(text)
        if not match or match.group(1) != kind:
            raise values.error(f"only initw.make{kind}(LAYER) is known", key)
        other = match.group(2)
        if kind == "w":
            single = len(layer.inputs) == 1
            for index in range(len(layer.inputs)):
                target = "kernel" if single else f"kernel{index}"
                context.ask_for_import(f"{name}/{target}", f"{other}/kernel{index}")
        elif kind == "b":
            context.ask_for_import(f"{name}/bias", f"{other}/bias")
        context.note(
            "it asks for weights of another run (initWFunc, initBFunc): config.initial_weights "
            "names them; without, it begins with random ones (initW, initB)"
        )


def _source(layer: Layer, context: Context, before: list[str], text: str) -> str:
    """`row/kernel` that the weightSource `text` names; empty for none.

    `before` holds the sources of this layer's earlier inputs. A matrix that is shared itself
    stands for its owner's.
    """
    if not text or text.lower() == "none":
        return ""
    match = _SOURCE.match(text)
    name, number = (match.group(1), int(match.group(2) or 0)) if match else (text, 0)
    if name == layer.common["name"] and number < len(before):
        return before[number] or f"{name}/kernel{number}"
    owner = context.made(name)
    kinds = {"conv": rows.Conv, "local": rows.Local, "fc": rows.FullyConnected}
    if not isinstance(owner, kinds.get(layer.values.text("type"), rows.WeightRow)):
        raise layer.values.error(f"{name} is no earlier layer of this type", "weightSource")
    assert isinstance(owner, rows.WeightRow)
    if number >= len(owner.kernels):
        raise layer.values.error(f"{name} has {len(owner.kernels)} kernels", "weightSource")
    if context.strict and owner.column != layer.common["column"]:
        raise layer.values.error(f"{name} lies on another gpu", "weightSource")
    own = f"{name}/{shapes.kernel_names(owner)[number]}"
    return owner.kernels[number].source or own


def fully_connected(layer: Layer, context: Context) -> rows.Row:
    """`fc`."""
    kernels = tuple(rows.Weights(**fields) for fields in _weights(layer, context))
    bias = context.rates.bias(layer.parameters, layer.values.number("initB", 0.0))
    outputs = layer.values.integer("outputs", low=1)
    return rows.FullyConnected(outputs=outputs, kernels=kernels, bias=bias, **layer.common)


def _goes_round(parents: tuple[int, ...]) -> bool:
    """Whether the way up from a node never ends at the root."""
    ends = set(range(len(parents)))
    for _ in parents:
        ends = {parents[node] for node in ends if node >= 0}
    return bool(ends - {-1})


def tree(layer: Layer, context: Context) -> rows.Row:
    """`treefc`, given a label tree."""
    if not context.tree:
        raise layer.values.error("needs a label tree: give the option tree", "type")
    parents = context.tree
    outputs = len(set(range(len(parents))) - set(parents))
    inner = [node for node in parents if 0 <= node < outputs]
    wrong = inner or any(not -1 <= node < len(parents) for node in parents)
    if parents.count(-1) != 1 or wrong or _goes_round(parents):
        raise layer.values.error(
            "the tree must have one root, above all nodes, and its leaves come first", "type"
        )
    (fields,) = _weights(layer, context)
    bias = context.rates.bias(layer.parameters, layer.values.number("initB", 0.0))
    row = rows.TreeFullyConnected(
        outputs=outputs,
        parents=parents,
        kernels=(),
        # The 2012 layer knows neither schedules nor limits on norms.
        bias=dataclasses.replace(bias, schedule=None),
        **layer.common,
    )
    kernels = []
    for leaves in shapes.tree_nodes(row):
        # Rate and decay of a node are both divided by the number of leaves under it.
        rate = fields.get("learning_rate_multiplier", 1.0) / leaves
        decay = fields.get("weight_decay", 0.0) / leaves
        learning = {"learning_rate_multiplier": rate, "weight_decay": decay, "schedule": None}
        kernels.append(rows.Weights(**fields | learning))
    return dataclasses.replace(row, kernels=tuple(kernels))


def pool(layer: Layer, context: Context) -> rows.Row:
    """`pool`: max, maxabs, avg or rand."""
    values = layer.values
    side = context.shape(layer.inputs[0])[0]
    kind = values.text("pool")
    if kind not in ("max", "maxabs", "avg", "rand"):
        raise values.error("must be max, maxabs, avg or rand", "pool")
    if kind == "rand" and layer.parameters and layer.parameters.boolean("doMax", False):
        kind = "max"
    if context.strict and context.above_weights(layer.inputs[0]):
        _multiple(values, context.shape(layer.inputs[0])[2], 16)
    size = values.integer("sizeX", low=1, high=side)
    return rows.Pool(
        kind=kind,
        size=size,
        stride=values.integer("stride", low=1, high=size),
        start=values.integer("start", 0),
        outputs=max(values.integer("outputsX", 0), 0),
        ties=context.pool_ties,
        **layer.common,
    )


def norm(layer: Layer, context: Context) -> rows.Row:
    """`cmrnorm`, `rnorm` and `cnorm`; scale is divided by the size of the window here."""
    values = layer.values
    kind = values.text("type")
    side, _, channels = context.shape(layer.inputs[0])
    if context.strict:
        _multiple(values, channels, 16 if kind == "cmrnorm" else 4, kind == "cmrnorm")
    old = values.has("sizeX") and not values.has("size") and not context.strict
    size = values.integer("sizeX" if old else "size", low=1)
    scale, beta = layer.setting("scale", 1e-4), layer.setting("pow", 0.75)
    blocked = values.boolean("blocked", False)
    if kind == "cmrnorm":
        if not 2 <= size <= channels:
            raise values.error(f"must be from 2 to {channels} channels", "size")
        k = layer.parameters.number("minDiv", 1.0) if layer.parameters else 1.0
        if k <= 0:
            assert layer.parameters
            raise layer.parameters.error("must be above 0, else norms of zeros are none", "minDiv")
        return rows.CrossMapNorm(
            size=size, alpha=scale / size, beta=beta, k=k, blocked=blocked, **layer.common
        )
    if size > side:
        raise values.error(f"must be from 1 to {side} pixels", "size")
    row = rows.SameMapNorm if kind == "rnorm" else rows.ContrastNorm
    return row(size=size, alpha=scale / size**2, beta=beta, **layer.common)


def dropout(layer: Layer, context: Context) -> rows.Row:
    """`hs`: dropout that is not inverted."""
    enabled = layer.parameters.boolean("enable") if layer.parameters else True
    return rows.Dropout(
        keep=layer.values.number("keep", low=0, high=1), enabled=enabled, **layer.common
    )


def simple(layer: Layer, context: Context) -> rows.Row:
    """Types without weights or parameters."""
    values, common = layer.values, layer.common
    kind = values.text("type")
    if kind in ("resize", "rscale", "rgb2yuv", "rgb2lab"):
        if context.above_weights(layer.inputs[0]):
            raise values.error("has no gradient and cannot lie above layers with weights", "type")
    match kind:
        case "softmax":
            return rows.Softmax(**common)
        case "neuron":
            values.text("neuron")
            return rows.Neuron(**common)
        case "eltsum":
            coefficients = values.numbers("coeffs", len(layer.inputs), 1.0)
            return rows.Sum(coefficients=tuple(coefficients), **common)
        case "eltmax":
            return rows.Maximum(**common)
        case "concat":
            return rows.Concat(**common)
        case "blur":
            size = values.integer("filterSize", high=context.shape(layer.inputs[0])[0])
            if size not in (3, 5, 7, 9):
                raise values.error("must be 3, 5, 7 or 9", "filterSize")
            return rows.Blur(size=size, stddev=values.number("stdev"), **common)
        case "nailbed":
            low = 2 if context.strict else 1
            return rows.Nailbed(stride=values.integer("stride", low=low), **common)
        case "href":
            values.integers("channels", 1, low=1, high=3)
            return rows.Mirror(**common)
        case "resize":
            return rows.Resize(scale=values.number("scale", low=0.5, high=2), **common)
        case "rscale":
            side = context.shape(layer.inputs[0])[0]
            largest = values.number("maxScale", low=1, high=2)
            size = values.integer("tgtSize", low=int(side / largest), high=side)
            return rows.RandomScale(maximum_scale=largest, size=size, **common)
        case "rgb2yuv":
            return rows.ColorTransform(space="yuv", **common)
        case "rgb2lab":
            centered = values.boolean("center", False)
            return rows.ColorTransform(space="lab", centered=centered, **common)
    raise values.error("has no meaning", "type")
