"""Layer types with weights: conv, local, fc and treefc."""

from __future__ import annotations

import dataclasses
import re
import zlib
from typing import Any

import numpy as np

from alexnet_common.counting import counted
from alexnet_tf.tables import rows, shapes
from alexnet_tf.tables.cuda_convnet.layer import Context, Layer, check_multiple
from alexnet_tf.tables.cuda_convnet.values import Values

_COPY = re.compile(r"(?:\w+\.)*make([wbc])\(\s*([^(),\s]+)\s*\)$")
_SOURCE = re.compile(r"([^\[\]]+)(?:\[(\d{1,9})\])?$")


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
    # Read only where an input asks for random channels, then for all inputs.
    group_channels = [c // g for c, g in zip(channels, groups, strict=True)]
    if any(sparse) and values.has("filterChannels"):
        group_channels = values.integers("filterChannels", count, low=1)
    totals = {f * g for f, g in zip(filters, groups, strict=True)}
    if len(totals) != 1:
        raise values.error("times groups must be equal for all inputs", "filters")
    total = totals.pop()
    kernels = []
    fields = _weights(layer, context)
    for i in range(count):
        if sizes[i] > sides[i] + 2 * paddings[i]:
            raise values.error(f"is larger than the padded image of {sides[i]}", "filterSize")
        if channels[i] % groups[i] and not sparse[i]:
            raise values.error(f"must divide {channels[i]} channels", "groups")
        if context.strict:
            _strict_conv(values, channels[i], 1 if sparse[i] else groups[i], sizes[i], strides[i])
            if total % (16 * groups[i]):
                raise values.error("times groups must be a multiple of 16 times groups", "filters")
        connections: tuple[int, ...] = ()
        if sparse[i]:
            connections = _connections(layer, context, i, channels[i], groups[i], group_channels[i])
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


def _strict_conv(values: Values, channels: int, groups: int, size: int, stride: int) -> None:
    check_multiple(values, channels, 4)
    if groups > 1 and channels % (4 * groups):
        raise values.error("must be a multiple of 4 times groups", "channels")
    if stride > size:
        raise values.error("must not be larger than filterSize", "stride")


def _connections(
    layer: Layer, context: Context, index: int, channels: int, groups: int, group_channels: int
) -> tuple[int, ...]:
    """Channels of each group of a `randSparse` input: permutations drawn from the seed."""
    values = layer.values
    if groups < 2:
        raise values.error("needs groups of 2 or more", "randSparse")
    total = groups * group_channels
    if group_channels < 1 or channels % group_channels or group_channels % 4 or total % channels:
        default = "" if values.has("filterChannels") else f" (channels / groups: {group_channels})"
        raise values.error(
            f"must be a multiple of 4 that divides {channels} channels, and times groups a "
            f"multiple of them{default}",
            "filterChannels",
        )
    context.note(
        "randSparse channels are drawn from the seed: the permutations are not in the files"
    )
    key = [context.seed, zlib.crc32(f"{values.section.name}/{index}".encode())]
    generator = np.random.Generator(np.random.Philox(np.random.SeedSequence(key)))
    drawn = [generator.permutation(channels) for _ in range(total // channels)]
    return tuple(int(channel) for channel in np.concatenate(drawn))


def _weights(layer: Layer, context: Context) -> list[dict[str, Any]]:
    """Fields of `rows.Weights` for each input, from both files."""
    values, count = layer.values, len(layer.inputs)
    kind = values.text("type")
    sources = [""] * count
    # The tree layer of 2012 reads neither key.
    if kind != "treefc":
        if values.has("weightSource"):
            sources = _sources(layer, context, values.texts("weightSource", count))
        _ask_for_imports(layer, context, sources)
    init = values.numbers("initW", count, low=0)
    fields = context.rates.weights(layer.parameters, init, sources, kind)
    for field in fields:
        if field["source"]:
            field["gradient_share"] = _gradient_share(layer, context, fields, field)
    return fields


def _gradient_share(
    layer: Layer, context: Context, fields: list[dict[str, Any]], sharer: dict[str, Any]
) -> float:
    """Factor on what a layer adds to the gradient of a matrix that it shares.

    In 2012 sharers of convolutions summed their gradients, under the owner's rate; in other layers
    each added its own rate times its gradient. One with a rate of 0 adds nothing.
    """
    rate = sharer.get("learning_rate_multiplier", 1.0)
    if layer.values.text("type") == "conv":
        return float(rate > 0)
    name, _, variable = sharer["source"].partition("/")
    number = int(variable.removeprefix("kernel") or 0)
    if name == layer.common["name"]:
        owners = fields[number].get("learning_rate_multiplier", 1.0)
    else:
        owner = context.row(name)
        assert isinstance(owner, rows.WeightRow)
        owners = owner.kernels[number].learning_rate_multiplier
    return rate / owners if owners else 1.0


def _ask_for_imports(layer: Layer, context: Context, sources: list[str]) -> None:
    """Notes what `initw.makew(X)` and the like copy from another checkpoint."""
    values, name = layer.values, layer.common["name"]
    for key, kind in (("initWFunc", "w"), ("initBFunc", "b"), ("initCFunc", "c")):
        if key == "initCFunc" and values.text("type") == "fc":
            continue
        text = values.text(key, "")
        if not text or text.lower() == "none":
            continue
        match = _COPY.match(text)
        if not match or match.group(1) != kind:
            instead = "channels drawn from the seed" if kind == "c" else f"init{kind.upper()}"
            context.note(
                f"[{name}] {key}={text}: a Python function of the author, which is not run; the "
                f"layer begins with {instead}"
            )
            continue
        other = match.group(2)
        if kind == "w":
            single = len(layer.inputs) == 1
            for index, source in enumerate(sources):
                target = "kernel" if single else f"kernel{index}"
                if not source:
                    context.ask_for_import(f"{name}/{target}", f"{other}/kernel{index}")
        elif kind == "b":
            context.ask_for_import(f"{name}/bias", f"{other}/bias")
        context.note(
            "it asks for weights of another run (initWFunc, initBFunc): config.initial_weights "
            "names them; without, it begins with random ones (initW, initB)"
        )


def _sources(layer: Layer, context: Context, names: list[str]) -> list[str]:
    """What `weightSource` names for each input, as `_source` returns it."""
    sources: list[str] = []
    for name in names:
        sources.append(_source(layer, context, sources, name))
    if any(sources):
        context.note(
            "weightSource: momentum, decay, schedule and limits of the owner of a matrix govern "
            "it; those of the layers that share it are ignored"
        )
    return sources


def _source(layer: Layer, context: Context, before: list[str], text: str) -> str:
    """`row/kernel` that the weightSource `text` names; empty for none.

    `before` holds the sources of this layer's earlier inputs. A matrix that is shared itself
    stands for its owner's.
    """
    if not text or text.lower() == "none":
        return ""
    match = _SOURCE.match(text)
    name, number = (match.group(1), int(match.group(2) or 0)) if match else (text, 0)
    if name == layer.values.section.name and number < len(before):
        return before[number] or f"{layer.common['name']}/kernel{number}"
    owner = context.row(name)
    kinds = {"conv": rows.Conv, "local": rows.Local, "fc": rows.FullyConnected}
    if not isinstance(owner, kinds.get(layer.values.text("type"), rows.WeightRow)):
        raise layer.values.error(f"{name} is not an earlier layer of this type", "weightSource")
    assert isinstance(owner, rows.WeightRow)
    if number >= len(owner.kernels):
        has = counted(len(owner.kernels), "matrix", "matrices")
        raise layer.values.error(f"{name} has {has}", "weightSource")
    if context.strict and owner.column != layer.common["column"]:
        raise layer.values.error(f"{name} lies on another gpu", "weightSource")
    own = f"{owner.name}/{shapes.kernel_names(owner)[number]}"
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
    bias = context.rates.bias(layer.parameters, layer.values.number("initB", 0.0), scheduled=False)
    row = rows.TreeFullyConnected(
        outputs=outputs,
        parents=parents,
        kernels=(),
        bias=bias,
        **layer.common,
    )
    kernels = []
    for leaves in shapes.tree_nodes(row):
        # Rate and decay of a node are both divided by the number of leaves under it.
        rate = fields.get("learning_rate_multiplier", 1.0) / leaves
        decay = fields.get("weight_decay", 0.0) / leaves
        learning = {"learning_rate_multiplier": rate, "weight_decay": decay}
        kernels.append(rows.Weights(**fields | learning))
    return dataclasses.replace(row, kernels=tuple(kernels))
