"""The rows of a layer table: one frozen dataclass per kind of layer.

A network is a table of such rows, as in the definition files of the 2012 code: every row names the
rows it reads, and a row of a column (a tower with kernels of its own) exists once per column:
`conv2a` reads `pool1a`, `conv3a` reads `pool2a` and `pool2b`. Rows hold numbers only; `shapes.py`
computes what they yield, `build.py` makes Keras layers.
"""

from __future__ import annotations

from dataclasses import dataclass

from alexnet_common.errors import UserError
from alexnet_tf.tables.schedules import Schedule

IMAGE = "data"
"""Name under which rows read the input image."""
LABELS = "labels"
"""Name under which the tail of a cost reads the labels (`Cost.tail`); no other row can."""
COLUMN_LETTERS = "abcdefgh"
"""Last letters of the names of columns' rows, `conv2a` and `conv2b`; there are no more columns."""


class TableError(UserError):
    """A table, or a choice of one, that cannot be; the message says what would be right."""


@dataclass(frozen=True, kw_only=True)
class Weights:
    """One weight matrix: how it starts and how it learns.

    Attributes:
        init_stddev: standard deviation of the normal distribution that it is drawn from.
        weight_decay: coefficient of w in the update rule (0.0005 in the paper, section 5).
        learning_rate_multiplier: factor on the run's learning rate; 0 freezes the matrix.
        momentum: momentum of its own, or None for the run's.
        source: `row/kernel` of an earlier row whose matrix is shared, or empty.
        gradient_share: factor on what this row adds to the gradient of a shared matrix.
        norm_ball: upper limit of the l2 norm of each unit's weights per fan-in (`wball`), 0 for
            none.
        norm_range: lower and upper limit of each filter's root of squared deviations over its
            size (`wcNormMin`, `wcNormMax`), (0, 0) for none.
        schedule: of its learning rate over the run, or None for the run's.
    """

    init_stddev: float
    weight_decay: float = 0.0
    learning_rate_multiplier: float = 1.0
    momentum: float | None = None
    source: str = ""
    gradient_share: float = 1.0
    norm_ball: float = 0.0
    norm_range: tuple[float, float] = (0.0, 0.0)
    schedule: Schedule | None = None


@dataclass(frozen=True, kw_only=True)
class Filters(Weights):
    """A bank of filters over one input image.

    Attributes:
        size: side of the square window in pixels.
        stride: distance of windows in pixels.
        padding: zeros on every side in pixels, or "same" (Keras' rule).
        rounding: "ceil" (2012 code: the last window may reach beyond the declared padding, where it
            reads zeros) or "floor" (Keras, PyTorch: only windows that fit).
        groups: number of groups that channels and filters are divided in.
        connections: channels that the groups see, one group after the other (`randSparse`); empty:
            in order.
    """

    size: int
    stride: int = 1
    padding: int | str = 0
    rounding: str = "ceil"
    groups: int = 1
    connections: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Bias:
    """The one bias of a weight layer, however many inputs it has."""

    init: float = 0.0
    learning_rate_multiplier: float = 1.0
    weight_decay: float = 0.0
    momentum: float | None = None
    schedule: Schedule | None = None


@dataclass(frozen=True, kw_only=True)
class Row:
    """What all rows share.

    Attributes:
        name: unique name, also that of the Keras layer.
        inputs: names of the rows it reads, in the order of its kernels.
        column: the tower it belongs to (and so its device when columns are placed), or None.
        neuron: function applied to its output, in the notation of the 2012 files ("relu",
            "tanh[1,1]"); empty: none.
    """

    name: str
    inputs: tuple[str, ...]
    column: int | None = None
    neuron: str = ""


@dataclass(frozen=True, kw_only=True)
class WeightRow(Row):
    """A row with kernels (one per input, their results are summed) and one bias."""

    kernels: tuple[Weights, ...]
    bias: Bias = Bias()


@dataclass(frozen=True, kw_only=True)
class Conv(WeightRow):
    """Convolution (cross-correlation) over one or more images; `filters` counts all groups."""

    filters: int
    kernels: tuple[Filters, ...]
    shared_biases: bool = True


@dataclass(frozen=True, kw_only=True)
class Local(WeightRow):
    """Convolution with kernels and biases of its own at every position ("untied")."""

    filters: int
    kernels: tuple[Filters, ...]


@dataclass(frozen=True, kw_only=True)
class FullyConnected(WeightRow):
    """Fully connected layer over one or more inputs, each flattened."""

    outputs: int


@dataclass(frozen=True, kw_only=True)
class TreeFullyConnected(WeightRow):
    """Fully connected layer whose classes share weights along a label tree.

    A class's weight vector is the sum of the vectors of all nodes from the root to its leaf. The
    2012 rule divides rate and decay of a node's vector by the number of leaves under it, so the
    vectors form one kernel per such number, in ascending order.

    Attributes:
        parents: for every node the number of its parent, -1 for the root; nodes 0 ... outputs - 1
            are the classes.
    """

    outputs: int
    parents: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Pool(Row):
    """Pooling over windows that are clipped to the image.

    Attributes:
        kind: "max", "avg" (divided by the number of pixels in the clipped window), "maxabs" or
            "rand".
        size, stride: window and distance in pixels.
        start: where the first window begins; negative is outside the image.
        outputs: windows per side, or 0 for as many as the rounding gives.
        rounding: "ceil" (every pixel is covered) or "floor" (only whole windows).
        ties: where the gradient of a maximum goes that several pixels share: "one" of them
            (TensorFlow) or, undivided, "all" (2012 code). Ties of zeros that a relu left make no
            difference, since its gradient there is 0; "all" takes half as long again per update of
            the full network on CPUs.
    """

    kind: str
    size: int
    stride: int
    start: int = 0
    outputs: int = 0
    rounding: str = "ceil"
    ties: str = "one"


@dataclass(frozen=True, kw_only=True)
class CrossMapNorm(Row):
    """Response normalisation across maps (section 3.3; `cmrnorm`).

    y = x * (k + alpha * sum of x_j^2)^-beta over `size` neighbouring channels j. `alpha` multiplies
    the plain sum: the 2012 code divides its `scale` by `size` first. Windows are clipped at the
    first and last channel. With `blocked` the window is the fixed block of `size` channels that
    holds the channel. Windows do
    not cross the borders of `groups` equal parts of the channels.
    """

    size: int
    alpha: float
    beta: float
    k: float = 1.0
    blocked: bool = False
    groups: int = 1


@dataclass(frozen=True, kw_only=True)
class SameMapNorm(Row):
    """Response normalisation within a map (`rnorm`).

    y = x * (1 + alpha * sum of x^2)^-beta over the size x size window of the same map.
    """

    size: int
    alpha: float
    beta: float


@dataclass(frozen=True, kw_only=True)
class ContrastNorm(Row):
    """Contrast normalisation within a map (`cnorm`).

    y = x * (1 + alpha * sum of (x - local mean)^2)^-beta over the size x size window.
    """

    size: int
    alpha: float
    beta: float


@dataclass(frozen=True, kw_only=True)
class Dropout(Row):
    """Dropout that keeps each value with probability `keep`.

    Attributes:
        keep: probability of keeping a value.
        form: "paper" (section 4.2 and the 2012 `hs` layer: 0/1 mask in training, times `keep` in
            tests) or "inverted" (mask / keep in training, nothing in tests; what Keras and PyTorch
            do).
        enabled: False: no mask in training either; the paper's form still multiplies by `keep`.
        parts: (name, channels) of the rows that this one stands for, whose masks it draws; empty:
            its own.
    """

    keep: float = 0.5
    form: str = "paper"
    enabled: bool = True
    parts: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Neuron(Row):
    """Elementwise function as a row of its own; the function is the row's `neuron`."""


@dataclass(frozen=True, kw_only=True)
class Softmax(Row):
    """Softmax over the whole vector."""


@dataclass(frozen=True, kw_only=True)
class Concat(Row):
    """Inputs one after the other.

    Along the channels for images of equal sides, else as vectors in (c, y, x) order.
    """


@dataclass(frozen=True, kw_only=True)
class Slice(Row):
    """Channels `begin` to `begin + size` of its input."""

    begin: int
    size: int


@dataclass(frozen=True, kw_only=True)
class Sum(Row):
    """Sum of its inputs, each times its coefficient (`eltsum`)."""

    coefficients: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Maximum(Row):
    """Elementwise maximum of its inputs (`eltmax`)."""


@dataclass(frozen=True, kw_only=True)
class Reinterpret(Row):
    """Its input, stored as (c, y, x), read again as a square image of `channels` channels.

    With 0 channels it stays the vector that it is stored as.
    """

    channels: int


@dataclass(frozen=True, kw_only=True)
class Blur(Row):
    """Separable Gaussian blur of each channel; zeros outside the image, so borders get darker."""

    size: int
    stddev: float


@dataclass(frozen=True, kw_only=True)
class Nailbed(Row):
    """Every `stride`-th pixel, centred."""

    stride: int


@dataclass(frozen=True, kw_only=True)
class Mirror(Row):
    """Left-right mirror image (`href`)."""


@dataclass(frozen=True, kw_only=True)
class Resize(Row):
    """Bilinear resize to floor(side / scale)."""

    scale: float


@dataclass(frozen=True, kw_only=True)
class RandomScale(Row):
    """Random down-scaling up to `maximum_scale` and random crop of `size`; tests: the centre."""

    maximum_scale: float
    size: int


@dataclass(frozen=True, kw_only=True)
class ColorTransform(Row):
    """RGB to `space`: "yuv", or "lab" (of values in [0, 1]; `centered` takes 50 from L*)."""

    space: str
    centered: bool = False


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What training minimises: `coefficient` times the mean over examples of a sum over outputs.

    Attributes:
        name: of the cost.
        kind: "logreg" (softmax cross-entropy), "crossent2" (sigmoid cross-entropy), "rflickr"
            (log(1 + (y - t)^2)), "sum2" (squares) or "gsum2" (squares times the class number, 0
            or 1, as a gate).
        output: name of the row that the labels are compared with: logits, where `from_logits`.
        coefficient: factor.
        top_k: the k of the second error that the 2012 code reported.
        from_logits: whether the cost applies the softmax or the logistic function itself.
        tail: rows without weights between `output`, the labels and the squares of "sum2" and
            "gsum2"; the last one is squared. They belong to the cost, since predictions have no
            labels. Without them "sum2" squares `output` itself.
    """

    name: str
    kind: str
    output: str
    coefficient: float = 1.0
    top_k: int = 1
    from_logits: bool = True
    tail: tuple[Row, ...] = ()

    @property
    def reads_labels(self) -> bool:
        """Whether it compares something with the labels; "sum2" of a row alone does not."""
        return self.kind != "sum2" or bool(self.tail)
