"""Keras layers for the rows of a table, with `tf.nn` operations inside, for Keras 2.15 and 3.

Each layer opens its device in its own `build` and `call`: a scope around the call that makes a
functional model has no effect later, because the model calls its layers again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import types
import zlib
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from alexnet_tf.network import (
    images,
    neurons,
    normalization,
    pooling,
    rows,
    schedules,
    shapes,
)


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


@dataclasses.dataclass(frozen=True)
class Options:
    """What the builder decides for all layers alike."""

    seed: int = 0
    lrn: str = "tf"
    native_groups: bool = False
    devices: tuple[str, ...] = ()


@dataclasses.dataclass
class _Randomness:
    seed: tf.Tensor
    rows: tf.Tensor
    global_batch_size: Any


_context = threading.local()


@contextlib.contextmanager
def randomness(seed: Any, rows: Any, global_batch_size: Any) -> Iterator[None]:
    """Makes dropout a function of the step and of each example's place in the global batch.

    Entered by the train step around `model(x, training=True)`, in the thread of its replica.

    Args:
        seed: int32 [2], of the step.
        rows: int32 [B], position of each example in the global batch.
        global_batch_size: number of examples in the global batch, an int or an int32 scalar.
    """
    previous = getattr(_context, "value", None)
    _context.value = _Randomness(tf.cast(seed, tf.int32), rows, global_batch_size)
    try:
        yield
    finally:
        _context.value = previous


def keep_mask(name: str, keep: float, x: tf.Tensor) -> tf.Tensor:
    """0/1 mask of the shape and dtype of `x` for the row `name`; each value is 1 with P = keep.

    Within `randomness` the mask of the whole global batch is drawn and the rows of `x` are taken
    from it, so that it does not depend on how the batch is divided over replicas.
    """
    context: _Randomness | None = getattr(_context, "value", None)
    shape = [int(side) for side in x.shape[1:]]
    if context is None:
        uniform = tf.random.uniform(tf.concat([tf.shape(x)[:1], shape], 0))
    else:
        # Philox on every device and under XLA alike, where "auto" differs.
        uniform = tf.random.stateless_uniform(
            tf.stack([context.global_batch_size, *shape]),
            seed=tf.bitwise.bitwise_xor(context.seed, [zlib.crc32(name.encode()) & 0x7FFFFFFF, 0]),
            alg="philox",
        )
        uniform = tf.gather(uniform, context.rows)
    return tf.cast(uniform < keep, x.dtype)


def initial_values(
    seed: int, variable: str, shape: shapes.Shape, stddev: float, dtype: str = "float32"
) -> np.ndarray:
    """Normal values that depend on the seed and the variable's name only, the same everywhere."""
    if stddev == 0:
        return np.zeros(shape, dtype)
    key = np.random.SeedSequence([seed, zlib.crc32(variable.encode())])
    generator = np.random.Generator(np.random.Philox(key))
    return (stddev * generator.standard_normal(shape, dtype=np.float32)).astype(dtype)


class _Values(keras.initializers.Initializer):
    """Initialiser that yields given values."""

    def __init__(self, make):
        self._make = make

    def __call__(self, shape, dtype=None, **kwargs):
        return tf.constant(self._make(), dtype=dtype or "float32")


class RowLayer(keras.layers.Layer):
    """A Keras layer for one row; subclasses say what it computes.

    Attributes:
        row: the row.
        settings: VariableSettings by the name of the variable ("kernel", "bias", ...).
    """

    def __init__(self, row: rows.Row, inputs: list[shapes.Shape], options: Options, **kwargs: Any):
        """Makes the layer of `row` for inputs of these shapes (without the batch)."""
        super().__init__(name=row.name, **kwargs)
        self.row = row
        self.options = options
        self._row_inputs = tuple(inputs)
        self._row_output = shapes.output_shape(row, inputs)

    def device(self) -> contextlib.AbstractContextManager:
        """The device of the row's column, where columns have devices."""
        devices = self.options.devices
        if not devices or self.row.column is None:
            return contextlib.nullcontext()
        return tf.device(devices[self.row.column])

    def compute_output_shape(self, input_shape: Any) -> tuple:
        """Shape with the batch, from the table's own arithmetic."""
        first = input_shape[0]
        batch = first if first is None or isinstance(first, int) else first[0]
        return (batch, *self._row_output)

    def call(self, inputs: Any, training: bool | None = None) -> tf.Tensor:
        """What the row yields, its neuron included."""
        values = list(inputs) if isinstance(inputs, list | tuple) else [inputs]
        with self.device():
            return neurons.apply(self.row.neuron, self.compute(values, bool(training)))

    def compute(self, inputs: list[tf.Tensor], training: bool) -> tf.Tensor:
        """What the row yields before its neuron."""
        raise NotImplementedError


class WeightLayer(RowLayer):
    """A layer with kernels and a bias; `find_source` yields the layer of a shared kernel."""

    def __init__(self, *arguments: Any, find_source: Any = None, **kwargs: Any):
        """As RowLayer; `find_source(row name)` yields an earlier layer."""
        super().__init__(*arguments, **kwargs)
        self._find_source = find_source
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
        stddevs = dict(
            zip(shapes.kernel_names(row), (k.init_stddev for k in row.kernels), strict=True)
        )
        with self.device():
            for name, shape in shapes.variable_shapes(row, list(self._row_inputs)).items():
                self._owned.variables[name] = self.add_weight(
                    name=name,
                    shape=shape,
                    initializer=_Values(lambda n=name, s=shape: self._initial(n, s, stddevs)),
                    trainable=True,
                )
        self.built = True

    def _initial(self, name: str, shape: shapes.Shape, stddevs: dict[str, float]) -> np.ndarray:
        assert isinstance(self.row, rows.WeightRow)
        if name == "bias":
            return np.full(shape, self.row.bias.init, np.float32)
        return initial_values(self.options.seed, f"{self.row.name}/{name}", shape, stddevs[name])

    def kernel(self, index: int) -> tf.Tensor:
        """Kernel number `index` in the compute dtype, a shared one from its owner."""
        assert isinstance(self.row, rows.WeightRow)
        source = self.row.kernels[index].source
        if source:
            layer_name, _, name = source.partition("/")
            variable = self._find_source(layer_name).row_variables[name]
        else:
            variable = self._owned.variables[shapes.kernel_names(self.row)[index]]
        return tf.cast(tf.convert_to_tensor(variable), self.compute_dtype)

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


def _flat(x: tf.Tensor) -> tf.Tensor:
    return tf.reshape(x, [-1, int(np.prod(x.shape[1:]))])


class FullyConnectedLayer(WeightLayer):
    """Fully connected layer over one or more inputs, each flattened as (y, x, channel)."""

    def compute(self, inputs: list[tf.Tensor], training: bool) -> tf.Tensor:
        """[B, outputs]."""
        results = [tf.matmul(_flat(x), self.kernel(index)) for index, x in enumerate(inputs)]
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
        weights = tf.matmul(tf.constant(paths, self.compute_dtype), self.kernel(0))
        return tf.matmul(_flat(inputs[0]), weights, transpose_b=True) + self.bias()

    def _initial(self, name: str, shape: shapes.Shape, stddevs: dict[str, float]) -> np.ndarray:
        values = super()._initial(name, shape, stddevs)
        assert isinstance(self.row, rows.TreeFullyConnected)
        if name == "kernel":
            values[self.row.outputs :] = 0  # Inner nodes start at zero.
        return values


class DropoutLayer(RowLayer):
    """Dropout in the paper's form or inverted."""

    def compute(self, inputs: list[tf.Tensor], training: bool) -> tf.Tensor:
        """The input, masked in training."""
        row, x = self.row, inputs[0]
        assert isinstance(row, rows.Dropout)
        paper = row.form == "paper"
        if not (training and row.enabled):
            return x * tf.cast(row.keep, x.dtype) if paper else x
        if row.parts:
            sizes = [size for _, size in row.parts]
            pieces = zip(row.parts, tf.split(x, sizes, axis=-1), strict=True)
            mask = tf.concat([keep_mask(n, row.keep, piece) for (n, _), piece in pieces], -1)
        else:
            mask = keep_mask(row.name, row.keep, x)
        return x * mask if paper else x * mask / tf.cast(row.keep, x.dtype)


class NormLayer(RowLayer):
    """The three response normalisations, always in float32."""

    def compute(self, inputs: list[tf.Tensor], training: bool) -> tf.Tensor:
        """The input, normalised."""
        x = tf.cast(inputs[0], tf.float32)
        row = self.row
        if isinstance(row, rows.CrossMapNorm):
            y = normalization.across_maps(
                x,
                size=row.size,
                alpha=row.alpha,
                beta=row.beta,
                k=row.k,
                blocked=row.blocked,
                implementation=self.options.lrn,
            )
        elif isinstance(row, rows.SameMapNorm):
            y = normalization.within_map(x, size=row.size, alpha=row.alpha, beta=row.beta)
        else:
            assert isinstance(row, rows.ContrastNorm)
            y = normalization.contrast(x, size=row.size, alpha=row.alpha, beta=row.beta)
        return tf.cast(y, inputs[0].dtype)


class FunctionLayer(RowLayer):
    """Rows without variables that are one function of their inputs."""

    def compute(self, inputs: list[tf.Tensor], training: bool) -> tf.Tensor:
        """What `row` says of `inputs`."""
        x = inputs[0]
        match self.row:
            case rows.Pool():
                return pooling.pool(x, self.row)
            case rows.Neuron():
                return x
            case rows.Softmax():
                return tf.nn.softmax(_flat(x))
            case rows.Concat():
                if len(self._row_output) == 3 or all(len(i.shape) == 2 for i in inputs):
                    return tf.concat(inputs, -1)
                return tf.concat([_flat(_channels_first(i)) for i in inputs], -1)
            case rows.Slice():
                return x[..., self.row.begin : self.row.begin + self.row.size]
            case rows.Sum():
                pairs = zip(self.row.coefficients, inputs, strict=True)
                return tf.add_n([tf.cast(c, i.dtype) * i for c, i in pairs])
            case rows.Maximum():
                return tf.reduce_max(tf.stack(inputs), 0)
            case rows.Reinterpret():
                side, _, channels = self._row_output
                image = tf.reshape(_channels_first(x), [-1, channels, side, side])
                return tf.transpose(image, [0, 2, 3, 1])
        return images.transform(x, self.row, training)


def _channels_first(x: tf.Tensor) -> tf.Tensor:
    return tf.transpose(x, [0, 3, 1, 2]) if len(x.shape) == 4 else x


LAYERS: dict[type, type[RowLayer]] = {
    rows.Conv: ConvLayer,
    rows.Local: LocalLayer,
    rows.FullyConnected: FullyConnectedLayer,
    rows.TreeFullyConnected: TreeLayer,
    rows.Dropout: DropoutLayer,
    rows.CrossMapNorm: NormLayer,
    rows.SameMapNorm: NormLayer,
    rows.ContrastNorm: NormLayer,
}
"""Layer classes by the kind of row; all other kinds are a FunctionLayer."""
