"""Keras layers with kernels and biases: convolution, untied convolution, fully connected."""

from __future__ import annotations

import dataclasses
import types
import zlib
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from alexnet_tf.model.row_layer import RowLayer
from alexnet_tf.tables import rows, schedules, shapes


@dataclasses.dataclass(frozen=True)
class VariableSettings:
    """How one variable learns.

    Attributes:
        name: `row/variable`, such as "conv1a/kernel".
        learning_rate_multiplier: factor on the run's learning rate; 0: frozen.
        weight_decay: coefficient of the variable in the update rule.
        column: tower of its row, or None.
        momentum: momentum of its own, or None for the run's.
        norm_ball, norm_range: limits on norms after the update (see `rows.Weights`).
        unit_axes: axes of the variable along which its units lie, for these limits; the other axes
            are one unit's weights. A filter of a convolution and an output of a fully connected
            layer are units, so is each filter at each position of an untied layer, and each node
            of a label tree.
        schedule: of its learning rate over the run, or None for the run's.
    """

    name: str
    learning_rate_multiplier: float
    weight_decay: float
    column: int | None
    momentum: float | None = None
    norm_ball: float = 0.0
    norm_range: tuple[float, float] = (0.0, 0.0)
    schedule: schedules.Schedule | None = None
    unit_axes: tuple[int, ...] = (-1,)


_UNIT_AXES = {rows.Local: (0, 1, -1), rows.TreeFullyConnected: (0,)}


def initial_value(row: rows.WeightRow, name: str, shape: shapes.Shape, seed: int) -> np.ndarray:
    """Initial value, float32, of the variable `name` of `row`.

    Normal values depend on the seed and the names only: the same on every placement, version of
    the libraries and machine.
    """
    if name == "bias":
        return np.full(shape, row.bias.init, np.float32)
    stddev = row.kernels[shapes.kernel_names(row).index(name)].init_stddev
    key = np.random.SeedSequence([seed, zlib.crc32(f"{row.name}/{name}".encode())])
    generator = np.random.Generator(np.random.Philox(key))
    values = np.float32(stddev) * generator.standard_normal(shape, dtype=np.float32)
    if isinstance(row, rows.TreeFullyConnected):
        nodes = list(shapes.tree_nodes(row).values())[shapes.kernel_names(row).index(name)]
        values[[node >= row.outputs for node in nodes]] = 0  # Inner nodes start at zero.
    return values


class _Values(keras.initializers.Initializer):
    """Initialiser that yields given values."""

    def __init__(self, make):
        self._make = make

    def __call__(self, shape, dtype=None, **kwargs):
        return tf.constant(self._make(), dtype=dtype or "float32")


class WeightLayer(RowLayer):
    """A layer with kernels and a bias; `find_source` yields the layer of a shared kernel."""

    def __init__(
        self, *arguments: Any, find_source: Any = None, initial: Any = None, **kwargs: Any
    ):
        """As RowLayer; `find_source(row name)` yields an earlier layer.

        `initial(variable name)` yields an initial value, or None for the row's own.
        """
        super().__init__(*arguments, **kwargs)
        self._find_source = find_source
        self._given_initial = initial
        # In a namespace, where neither Keras tracks the variables a second time.
        self._owned = types.SimpleNamespace(variables={})

    @property
    def settings(self) -> dict[str, VariableSettings]:
        """VariableSettings by the name of the variable."""
        row = self.row
        assert isinstance(row, rows.WeightRow)
        settings = {}
        for name, kernel in zip(shapes.kernel_names(row), row.kernels, strict=True):
            settings[name] = VariableSettings(
                f"{row.name}/{name}",
                kernel.learning_rate_multiplier,
                kernel.weight_decay,
                row.column,
                kernel.momentum,
                kernel.norm_ball,
                kernel.norm_range,
                kernel.schedule,
                _UNIT_AXES.get(type(row), (-1,)),
            )
        settings["bias"] = VariableSettings(
            f"{row.name}/bias",
            row.bias.learning_rate_multiplier,
            row.bias.weight_decay,
            row.column,
            row.bias.momentum,
            schedule=row.bias.schedule,
        )
        return settings

    @property
    def row_variables(self) -> dict[str, Any]:
        """The variables that this layer owns, by name."""
        return dict(self._owned.variables)

    def build(self, input_shape: Any) -> None:
        """Creates the variables on the column's device."""
        row = self.row
        assert isinstance(row, rows.WeightRow)
        with self.device():
            for name, shape in shapes.variable_shapes(row, list(self._row_inputs)).items():
                self._owned.variables[name] = self.add_weight(
                    name=name,
                    shape=shape,
                    initializer=_Values(lambda n=name, s=shape: self._initial(n, s)),
                    trainable=True,
                )
        self.built = True

    def _initial(self, name: str, shape: shapes.Shape) -> np.ndarray:
        assert isinstance(self.row, rows.WeightRow)
        given = self._given_initial and self._given_initial(f"{self.row.name}/{name}")
        return initial_value(self.row, name, shape, self.options.seed) if given is None else given

    def kernel(self, index: int) -> tf.Tensor:
        """Kernel number `index` in the compute dtype, a shared one from its owner."""
        assert isinstance(self.row, rows.WeightRow)
        weights = self.row.kernels[index]
        if not weights.source:
            variable = self._owned.variables[shapes.kernel_names(self.row)[index]]
            return tf.cast(tf.convert_to_tensor(variable), self.compute_dtype)
        layer_name, _, name = weights.source.partition("/")
        variable = self._find_source(layer_name).row_variables[name]
        value = tf.cast(tf.convert_to_tensor(variable), self.compute_dtype)
        if weights.gradient_share == 1:
            return value
        # The value to the bit, with another gradient.
        constant = tf.stop_gradient(value)
        return constant + tf.cast(weights.gradient_share, value.dtype) * (value - constant)

    def bias(self) -> tf.Tensor:
        """The bias in the compute dtype."""
        return tf.cast(tf.convert_to_tensor(self._owned.variables["bias"]), self.compute_dtype)


def _padded(x: tf.Tensor, kernel: rows.Filters) -> tuple[tf.Tensor, str]:
    """`x` with its zeros around it, and the padding that `tf.nn.conv2d` still has to do.

    Explicit padding inside `tf.nn.conv2d` takes up to twice the time of these two on CPUs.
    """
    side = int(x.shape[1])
    windows = shapes.filter_windows(side, kernel)
    pads = [windows.before, max(windows.after, 0)]
    same = shapes.filter_windows(side, dataclasses.replace(kernel, padding="same"))
    if pads == [0, 0]:
        return x, "VALID"
    if windows == same:
        return x, "SAME"
    return tf.pad(x, [[0, 0], pads, pads, [0, 0]]), "VALID"


# Images have so many at most; a convolution of them leaves tensor cores idle.
_IMAGE_CHANNELS = 4


def _fully_padded(x: tf.Tensor, kernel: rows.Filters, padding: str) -> tf.Tensor:
    """`x` with all of the zeros that a convolution with `padding` would see."""
    if padding == "VALID":
        return x
    windows = shapes.filter_windows(int(x.shape[1]), kernel)
    pads = [windows.before, max(windows.after, 0)]
    return tf.pad(x, [[0, 0], pads, pads, [0, 0]])


def convolve_blocks(x: tf.Tensor, weights: tf.Tensor, stride: int) -> tf.Tensor:
    """A convolution with a stride, without padding, as one of stride 1 over blocks of pixels.

    Blocks of stride x stride pixels become the channels of one: 11x11 with stride 4 over three
    channels is 3x3 over 48, the kernel filled up with zeros to 12x12. The same sums with more
    channels, as tensor cores like them.

    Args:
        x: [B, S, S, C].
        weights: [size, size, C, filters].
        stride: at least 1.

    Returns:
        [B, M, M, filters], as `tf.nn.conv2d(x, weights, stride, "VALID")`.
    """
    side, channels = int(x.shape[1]), int(x.shape[3])
    size, _, _, filters = weights.shape
    blocks = -(-size // stride)
    outputs = (side - size) // stride + 1
    # Pixels that the last window reads, in whole blocks; zeros of the kernel meet those beyond.
    wanted = (outputs - 1 + blocks) * stride
    x = x[:, :wanted, :wanted]
    more = max(wanted - side, 0)
    x = tf.nn.space_to_depth(tf.pad(x, [[0, 0], [0, more], [0, more], [0, 0]]), stride)
    fill = blocks * stride - size
    weights = tf.pad(weights, [[0, fill], [0, fill], [0, 0], [0, 0]])
    weights = tf.reshape(weights, [blocks, stride, blocks, stride, channels, filters])
    weights = tf.transpose(weights, [0, 2, 1, 3, 4, 5])
    weights = tf.reshape(weights, [blocks, blocks, stride * stride * channels, filters])
    return tf.nn.conv2d(x, weights, 1, "VALID")


class ConvLayer(WeightLayer):
    """Convolution over one or more images, their results summed."""

    def compute(self, inputs: list[tf.Tensor], training: bool) -> tf.Tensor:
        """[B, M, M, filters]."""
        row = self.row
        assert isinstance(row, rows.Conv)
        results = []
        for index, (x, kernel) in enumerate(zip(inputs, row.kernels, strict=True)):
            results.append(self._convolve(x, self.kernel(index), kernel))
        total = tf.add_n(results) if len(results) > 1 else results[0]
        if row.shared_biases:
            return tf.nn.bias_add(total, self.bias())
        return total + self.bias()

    def _convolve(self, x: tf.Tensor, weights: tf.Tensor, kernel: rows.Filters) -> tf.Tensor:
        if kernel.connections:
            x = tf.gather(x, list(kernel.connections), axis=3)
        x, padding = _padded(x, kernel)
        few_channels = int(x.shape[3]) <= _IMAGE_CHANNELS and kernel.groups == 1
        if self.options.space_to_depth and kernel.stride > 1 and few_channels:
            return convolve_blocks(_fully_padded(x, kernel, padding), weights, kernel.stride)
        if kernel.groups == 1 or self.options.native_groups:
            return tf.nn.conv2d(x, weights, kernel.stride, padding)
        # Native groups run at a fifth of the speed on CPUs.
        parts = zip(
            tf.split(x, kernel.groups, axis=3),
            tf.split(weights, kernel.groups, axis=3),
            strict=True,
        )
        return tf.concat(
            [tf.nn.conv2d(part, w, kernel.stride, padding) for part, w in parts], axis=3
        )


class LocalLayer(WeightLayer):
    """Untied convolution: kernels and biases of its own at every position."""

    def compute(self, inputs: list[tf.Tensor], training: bool) -> tf.Tensor:
        """[B, M, M, filters]."""
        row = self.row
        assert isinstance(row, rows.Local)
        total = self.bias()[None]
        for index, (x, kernel) in enumerate(zip(inputs, row.kernels, strict=True)):
            total = total + self._convolve(x, self.kernel(index), kernel)
        return total

    def _convolve(self, x: tf.Tensor, weights: tf.Tensor, kernel: rows.Filters) -> tf.Tensor:
        windows = shapes.filter_windows(int(x.shape[1]), kernel)
        if kernel.connections:
            x = tf.gather(x, list(kernel.connections), axis=3)
        pads = [windows.before, max(windows.after, 0)]
        x = tf.pad(x, [[0, 0], pads, pads, [0, 0]])
        size, stride = kernel.size, kernel.stride
        results = []
        for part, w in zip(
            tf.split(x, kernel.groups, axis=3),
            tf.split(weights, kernel.groups, axis=3),
            strict=True,
        ):
            patches = tf.image.extract_patches(
                part, [1, size, size, 1], [1, stride, stride, 1], [1, 1, 1, 1], "VALID"
            )
            results.append(tf.einsum("bxyi,xyio->bxyo", patches, w))
        return tf.concat(results, axis=3) if len(results) > 1 else results[0]


def flat(x: tf.Tensor) -> tf.Tensor:
    """`x` as [B, values]."""
    return tf.reshape(x, [-1, int(np.prod(x.shape[1:]))])


class FullyConnectedLayer(WeightLayer):
    """Fully connected layer over one or more inputs, each flattened as (y, x, channel)."""

    def compute(self, inputs: list[tf.Tensor], training: bool) -> tf.Tensor:
        """[B, outputs]."""
        results = [tf.matmul(flat(x), self.kernel(index)) for index, x in enumerate(inputs)]
        total = tf.add_n(results) if len(results) > 1 else results[0]
        return tf.nn.bias_add(total, self.bias())


class TreeLayer(WeightLayer):
    """Fully connected layer whose classes sum the vectors of their path to the root."""

    def compute(self, inputs: list[tf.Tensor], training: bool) -> tf.Tensor:
        """[B, outputs]."""
        row = self.row
        assert isinstance(row, rows.TreeFullyConnected)
        paths = np.zeros((row.outputs, len(row.parents)), np.float32)
        for leaf in range(row.outputs):
            node = leaf
            while node >= 0:
                paths[leaf, node] = 1
                node = row.parents[node]
        groups = shapes.tree_nodes(row).values()
        order = [node for nodes in groups for node in nodes]
        vectors = tf.concat([self.kernel(index) for index in range(len(groups))], axis=0)
        weights = tf.matmul(tf.constant(paths[:, order], self.compute_dtype), vectors)
        return tf.matmul(flat(inputs[0]), weights, transpose_b=True) + self.bias()
