"""Figure 2 of any network: its table of layers as a diagram, columns side by side."""

from __future__ import annotations

from dataclasses import dataclass

from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from alexnet_tf.analysis import plots
from alexnet_tf.tables import rows, summary
from alexnet_tf.tables.table import Table

BOX_WIDTH, BOX_HEIGHT = 2.75, 0.46
LANE, STEP = 3.2, 0.74
_MEETING = plots.COLORS[1]
# By kind of row: fill of its box.
_FILLS = {
    "Conv": "#cfe3f3",
    "Local": "#cfe3f3",
    "FullyConnected": "#cdeade",
    "TreeFullyConnected": "#cdeade",
    "Pool": "#e5e7eb",
    "Dropout": "#ffffff",
}
_OTHER_FILL = "#f7f0dc"


@dataclass(frozen=True)
class Box:
    """Where a row is drawn.

    Attributes:
        name: of the row; `rows.IMAGE` is the input.
        level: from the input (0) upwards: one more than the highest row that it reads.
        lane: place from left to right; columns are 0, 1, ..., rows of all columns lie between.
    """

    name: str
    level: int
    lane: float


def place(table: Table) -> list[Box]:
    """Boxes of the input and of all rows that the costs depend on, in the table's order."""
    levels = {rows.IMAGE: 0}
    by_level: dict[int, list[rows.Row]] = {}
    for row in table.needed_layers():
        levels[row.name] = 1 + max(levels[name] for name in row.inputs)
        by_level.setdefault(levels[row.name], []).append(row)
    middle = (table.num_columns - 1) / 2
    boxes = [Box(rows.IMAGE, 0, middle)]
    for row in table.needed_layers():
        beside = by_level[levels[row.name]]
        lane = middle if len(beside) == 1 or row.column is None else float(row.column)
        # Several rows of one column at one level, as in the files of 2012: further to the right.
        same = [other for other in beside if other.column == row.column]
        boxes.append(Box(row.name, levels[row.name], lane + 0.5 * same.index(row)))
    return boxes


def meetings(table: Table) -> list[tuple[str, str]]:
    """(row, reader) pairs where columns meet: the reader reads another column than its own too,
    or stands alone under all columns.
    """
    columns = {row.name: row.column for row in table.layers}
    lanes = {box.name: box.lane for box in place(table)}
    pairs = []
    for row in table.needed_layers() if table.num_columns > 1 else ():
        read = [name for name in row.inputs if columns.get(name) is not None]
        if len({columns[name] for name in read}) < 2:
            continue
        alone = lanes[row.name] != row.column
        pairs += [(name, row.name) for name in read if alone or columns[name] != row.column]
    return pairs


def draw(table: Table) -> Figure:
    """The diagram, input at the top."""
    boxes = {box.name: box for box in place(table)}
    layers = {layer.name: layer for layer in summary.layers(table)}
    top = max(box.level for box in boxes.values())
    right = max(box.lane for box in boxes.values())
    width, height = LANE * right + BOX_WIDTH + 0.5, STEP * top + BOX_HEIGHT + 1.0
    with plots.style():
        figure = plots.figure(width, height)
        figure.set_layout_engine("none")
        axis = figure.add_axes((0, 0, 1, 1))
        axis.set(xlim=(0, width), ylim=(0, height))
        axis.set_axis_off()
        places = {
            name: (0.25 + BOX_WIDTH / 2 + LANE * box.lane, 0.3 + STEP * (top - box.level) + 0.23)
            for name, box in boxes.items()
        }
        columns = f", {table.num_columns} columns" if table.num_columns > 1 else ""
        axis.text(
            0.25, height - 0.2,
            f"{table.name}: {summary.parameter_count(table):,} parameters, "
            f"{summary.neuron_count(table):,} neurons{columns}",
            fontweight="bold", fontsize=10, va="center",
        )  # fmt: skip
        crossing = set(meetings(table))
        if crossing:
            axis.text(
                0.25, height - 0.42, "orange: where the columns meet",
                color=_MEETING, fontsize=8, va="center",
            )  # fmt: skip
        for row in table.needed_layers():
            for name in row.inputs:
                _arrow(axis, places[name], places[row.name], (name, row.name) in crossing)
        image = table.shapes()[rows.IMAGE]
        for name in boxes:
            layer = layers.get(name)
            if layer is None:
                _box(axis, places[name], "#ffffff", "image", "less the mean", _sides(image), "")
            else:
                counted = f"{layer.parameters:,} parameters" if layer.parameters else ""
                fill = _FILLS.get(layer.kind, _OTHER_FILL)
                _box(axis, places[name], fill, name, layer.title, _sides(layer.shape), counted)
    return figure


def _sides(shape) -> str:
    return "×".join(str(side) for side in shape)


def _arrow(axis, start, end, meets: bool) -> None:
    axis.annotate(
        "",
        xy=(end[0], end[1] + BOX_HEIGHT / 2),
        xytext=(start[0], start[1] - BOX_HEIGHT / 2),
        arrowprops={
            "arrowstyle": "-|>",
            "color": _MEETING if meets else plots.GREY,
            "linewidth": 1.1,
            "shrinkA": 0,
            "shrinkB": 0,
            "mutation_scale": 8,
        },
    )


def _box(axis, center, fill: str, name: str, title: str, shape: str, counted: str) -> None:
    x, y = center
    axis.add_patch(
        FancyBboxPatch(
            (x - BOX_WIDTH / 2, y - BOX_HEIGHT / 2),
            BOX_WIDTH,
            BOX_HEIGHT,
            boxstyle="round,pad=0,rounding_size=0.06",
            facecolor=fill,
            edgecolor=plots.GREY,
            linewidth=0.8,
        )
    )
    left, right = x - BOX_WIDTH / 2 + 0.08, x + BOX_WIDTH / 2 - 0.08
    axis.text(left, y + 0.1, name, fontweight="bold", fontsize=8, va="center")
    axis.text(right, y + 0.1, shape, fontsize=8, va="center", ha="right")
    axis.text(left, y - 0.1, title, fontsize=6.5, va="center")
    axis.text(right, y - 0.1, counted, fontsize=6.5, va="center", ha="right", color="#374151")
