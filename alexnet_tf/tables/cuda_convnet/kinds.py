"""Layer types of the 2012 definition files without weights, each as a row of the table."""

from __future__ import annotations

from alexnet_tf.tables import rows
from alexnet_tf.tables.cuda_convnet.layer import Context, Layer, check_multiple


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
        check_multiple(values, context.shape(layer.inputs[0])[2], 16)
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
        check_multiple(values, channels, 16 if kind == "cmrnorm" else 4, kind == "cmrnorm")
    old = values.has("sizeX") and not values.has("size") and not context.strict
    size_key = "sizeX" if old else "size"
    size = values.integer(size_key, low=1)
    scale, beta = layer.setting("scale", 1e-4), layer.setting("pow", 0.75)
    blocked = values.boolean("blocked", False)
    if kind == "cmrnorm":
        if not 2 <= size <= channels:
            raise values.error(f"must be from 2 to {channels} channels", size_key)
        k = layer.parameters.number("minDiv", 1.0) if layer.parameters else 1.0
        if k <= 0:
            assert layer.parameters
            raise layer.parameters.error(
                "must be above 0: zeros are divided by a power of it", "minDiv"
            )
        return rows.CrossMapNorm(
            size=size, alpha=scale / size, beta=beta, k=k, blocked=blocked, **layer.common
        )
    if size > side:
        raise values.error(f"must be from 1 to {side} pixels", size_key)
    row = rows.SameMapNorm if kind == "rnorm" else rows.ContrastNorm
    return row(size=size, alpha=scale / size**2, beta=beta, **layer.common)


def dropout(layer: Layer, context: Context) -> rows.Row:
    """`hs`: dropout that is not inverted."""
    enabled = layer.parameters.boolean("enable") if layer.parameters else True
    keep = layer.values.number("keep", low=0, high=1)
    if keep == 0:
        raise layer.values.error("must be above 0: nothing would be kept", "keep")
    return rows.Dropout(keep=keep, enabled=enabled, **layer.common)


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
            if not values.text("neuron"):
                raise values.error("must name a function", "neuron")
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
            stddev = values.number("stdev")
            if stddev <= 0:
                raise values.error("must be above 0", "stdev")
            return rows.Blur(size=size, stddev=stddev, **common)
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
