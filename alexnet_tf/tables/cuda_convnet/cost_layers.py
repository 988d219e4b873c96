"""Cost layers of the 2012 definition files, and the layers between them and the labels."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Protocol

from alexnet_common.counting import counted
from alexnet_tf.tables import rows
from alexnet_tf.tables.cuda_convnet.ini import Option, Section
from alexnet_tf.tables.cuda_convnet.values import Values
from alexnet_tf.tables.rows import Row, TableError
from alexnet_tf.tables.shapes import Shape

INPUTS = {
    "cost.logreg": 2,
    "cost.crossent": 2,
    "cost.crossent2": 2,
    "cost.rflickr": 2,
    "cost.msm": 2,
    "cost.gsum2": 2,
    "cost.sum2": 1,
    "cost.tica": 1,
}
"""Types of costs and how many inputs they take."""

_UNSUPPORTED = ("cost.crossent", "cost.msm", "cost.tica")
_SQUARES = ("cost.sum2", "cost.gsum2")
_REPORTED = (1, 5)
# Types that may stand between the labels and a cost.
_TAIL = ("eltsum", "eltmax", "concat", "neuron", "softmax")


class Net(Protocol):
    """The net so far.

    Attributes:
        rows: rows that a prediction needs, by name.
        tail: rows that read the labels, themselves or through others, by name.
        shapes: what each row yields.
    """

    rows: dict[str, Row]
    tail: dict[str, Row]
    shapes: dict[str, Shape]

    def vector(self, values: Values, name: str) -> str:
        """A row that yields the image `name` as a vector."""

    def note(self, text: str) -> None:
        """Remembers something to tell the user, once."""


def check_tail(
    values: Values, kind: str, reads: Sequence[str], net_shapes: Mapping[str, Shape]
) -> Shape | None:
    """Refuses layers that cannot lie between the labels and a cost.

    Returns:
        The shape of the labels, one value per output, where this layer is the one to tell it.
    """
    if kind not in _TAIL:
        raise values.error(
            f"{kind} cannot read the labels, which a prediction does not have; "
            f"on their way to a cost lie only {', '.join(_TAIL)}",
            "inputs",
        )
    if rows.LABELS not in reads:
        return None
    others = [net_shapes[name] for name in reads if name != rows.LABELS]
    if kind not in ("eltsum", "eltmax") or not others or len(others[0]) != 1:
        raise values.error(
            "labels are first compared, by eltsum or eltmax, with a layer that yields a vector",
            "inputs",
        )
    return others[0]


@dataclasses.dataclass(frozen=True)
class CostSection:
    """A section of a cost on its way to the table.

    Attributes:
        values: the section of the definition file.
        kind: its type.
        parameters: its section of the parameter file, if there is one.
        reads: names of the rows that it reads.
    """

    values: Values
    kind: str
    parameters: Values | None
    reads: tuple[str, ...]


def costs(sections: Sequence[CostSection], net: Net) -> list[rows.Cost]:
    """The costs of all sections, first the one that the classes of an image come from.

    In 2012 the gradients of all costs were added up, and no cost was the first among them. Here
    that is the one with the most layers with weights below it, of equals the one with the largest
    coefficient, then the first of the file.

    Args:
        sections: in the file's order.
        net: whose rows of logistic functions are changed where only a cost reads them.
    """
    made = [_cost(section, sections, net) for section in sections]
    if len(made) < 2:
        return made
    labelled = [cost for cost in made if cost.reads_labels]
    if not labelled:
        raise sections[0].values.error(
            "one of the costs must compare a layer with the labels: no other cost says what the "
            "classes of an image are"
        )
    first = max(labelled, key=lambda cost: (_depth(cost.output, net), cost.coefficient))
    net.note(f"its {len(made)} costs are added up; the classes of an image come from {first.name}")
    return [first, *(cost for cost in made if cost is not first)]


def _depth(output: str, net: Net) -> int:
    """Number of layers with weights on the longest way from the image to `output`."""
    depths: dict[str, int] = {}
    for name, row in net.rows.items():
        below = max((depths.get(read, 0) for read in row.inputs), default=0)
        depths[name] = below + isinstance(row, rows.WeightRow)
    return depths.get(output, 0)


def _cost(section: CostSection, sections: Sequence[CostSection], net: Net) -> rows.Cost:
    values, kind, parameters = section.values, section.kind, section.parameters
    reads = section.reads
    if kind in _UNSUPPORTED:
        raise values.error("is not supported (the archive's files do not use it)", "type")
    first, output = reads[0], reads[-1]
    alone = len(sections) == 1
    _check_inputs(values, kind, first, output, net, alone)
    tail: tuple[Row, ...] = ()
    from_logits = False
    row = net.rows.get(output)
    if kind in _SQUARES:
        # Squares of a row that does not depend on the labels (a penalty) are of the row itself.
        if output in net.tail:
            tail, output = _tail_to(values, output, net)
    elif kind == "cost.logreg":
        if not isinstance(row, rows.Softmax):
            raise values.error(f"{output} must be a softmax layer", "inputs")
        if row.neuron:
            raise values.error(f"{output} must not change its softmax by a neuron", "inputs")
        output, from_logits = row.inputs[0], True
    elif kind == "cost.crossent2" and row and row.neuron == "logistic":
        others = [row.inputs for row in (*net.rows.values(), *net.tail.values())]
        others += [other.reads for other in sections if other is not section]
        if not any(output in inputs for inputs in others):
            # The cost applies the function itself, which keeps large outputs exact.
            net.rows[output] = dataclasses.replace(row, neuron="")
            from_logits = True
    if kind == "cost.crossent2" and not from_logits and not _in_unit_interval(row):
        net.note(f"{values.section.name}: {output} is not kept in [0, 1] by a logistic function")
    top_k = parameters.integer("topk", 1, low=1) if parameters else 1
    if top_k not in _REPORTED:
        net.note(f"topk={top_k}: evaluation reports the errors of the first guess and of five")
    if len(net.shapes[output]) != 1:
        output = net.vector(values, output)
    return rows.Cost(
        name=values.section.name,
        kind=kind.removeprefix("cost."),
        output=output,
        coefficient=parameters.number("coeff") if parameters else 1.0,
        top_k=top_k,
        from_logits=from_logits,
        tail=tail,
    )


def _in_unit_interval(row: Row | None) -> bool:
    return isinstance(row, rows.Softmax) or row is not None and row.neuron == "logistic"


def _check_inputs(
    values: Values, kind: str, first: str, output: str, net: Net, alone: bool
) -> None:
    if kind == "cost.gsum2" and first != rows.LABELS:
        raise values.error(
            "needs a gate for each image from the data provider; of labelled images only the class "
            "number, 0 or 1, can be one: inputs=labels,LAYER",
            "inputs",
        )
    if kind in _SQUARES:
        penalty = kind == "cost.sum2" and not alone and output in net.rows
        if output not in net.tail and not penalty:
            raise values.error(
                "must end with an eltsum of labels and a layer, or with what is made of one: "
                f"{output} does not depend on the labels",
                "inputs",
            )
    elif first != rows.LABELS or output == rows.LABELS or output in net.tail:
        raise values.error("must name the labels and a layer that does not read them", "inputs")


def _tail_to(values: Values, last: str, net: Net) -> tuple[tuple[Row, ...], str]:
    """The rows from the labels to the row `last`, and the one row that they are compared with."""
    wanted = {last}
    for name in reversed(net.tail):
        if name in wanted:
            wanted |= set(net.tail[name].inputs)
    compared = sorted(wanted - net.tail.keys() - {rows.LABELS})
    if len(compared) != 1:
        raise values.error(
            f"compares the labels with {counted(len(compared), 'layer')} ({', '.join(compared)}); "
            "one must say what the classes of an image are",
            "inputs",
        )
    return tuple(row for name, row in net.tail.items() if name in wanted), compared[0]


def fit(sections: Mapping[str, Section], count: int) -> None:
    """Gives the layers that the labels are compared with `count` outputs instead of their own.

    Raises:
        DefinitionError: it is not a fully connected layer.
    """
    kinds = {name: Values(section).text("type", "") for name, section in sections.items()}
    for name, kind in kinds.items():
        if kind.startswith("cost.") and _reads_labels(name, sections, kinds):
            _fit_below(name, sections, kinds, count)


def _reads_labels(name: str, sections: Mapping[str, Section], kinds: Mapping[str, str]) -> bool:
    """Whether a section depends on the labels by way of layers without weights."""
    wanted, seen = [name], set()
    while wanted:
        name = wanted.pop()
        if name in seen or name not in sections:
            continue
        seen.add(name)
        values = Values(sections[name])
        if kinds[name] == "data":
            if values.text("dataIdx", "0") != "0":
                return True
        elif kinds[name] in (*INPUTS, *_TAIL) and "inputs" in values.section.options:
            wanted += values.names("inputs")
    return False


def _fit_below(
    name: str, sections: Mapping[str, Section], kinds: Mapping[str, str], count: int
) -> None:
    # No more steps than layers: the reader finds what reads itself.
    for _ in sections:
        values = Values(sections[name]) if name in sections else None
        if values is None or kinds[name] == "data":
            return
        if kinds[name] == "fc":
            values.section.options["outputs"] = Option(str(count), values.line("outputs"))
            return
        if kinds[name] not in (*INPUTS, *_TAIL) or kinds[name] == "concat":
            raise values.error(
                f"{kinds[name]} cannot take the {count:,} classes of the dataset", "type"
            )
        below = [name for name in values.names("inputs") if kinds.get(name) != "data"]
        name = below[-1] if below else ""


def classes(file: str, chosen: rows.Cost, outputs: int, wanted: int) -> int:
    """How many classes `outputs` outputs tell apart.

    Args:
        file: name of the definition file, for errors.
        chosen: the cost.
        outputs: number of values that are compared with the labels.
        wanted: classes of the dataset; 0: any number.

    Raises:
        TableError: not `wanted`, or gates that class numbers cannot be.
    """
    count = 2 if outputs == 1 and chosen.kind != "logreg" else outputs
    if wanted and count != wanted:
        has = counted(outputs, "output") + (", for 2 classes" if count != outputs else "")
        raise TableError(
            f"{file} has {has}, but the dataset has {counted(wanted, 'class', 'classes')}; "
            "config.network.outputs=dataset changes the last layer"
        )
    if chosen.kind == "gsum2" and count != 2:
        raise TableError(
            f"{file}: cost.gsum2 needs a gate of 0 or 1 for each image from the data provider; "
            f"the class numbers of {counted(count, 'class', 'classes')} are not gates"
        )
    return count
