"""Sections of a definition file, one after another -> rows of a layer table."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping

from alexnet_common.counting import counted
from alexnet_common.errors import UserError
from alexnet_common.suggestions import did_you_mean, near_misses
from alexnet_tf.tables import notation, rows, shapes
from alexnet_tf.tables.cuda_convnet import cost_layers, ini, kinds, weight_kinds
from alexnet_tf.tables.cuda_convnet.layer import Context, Layer
from alexnet_tf.tables.cuda_convnet.rates import Rates
from alexnet_tf.tables.cuda_convnet.values import KEYS, LARGEST_INTEGER, Values

_KINDS: Mapping[str, Callable[[Layer, Context], rows.Row]] = {
    "conv": weight_kinds.conv,
    "local": weight_kinds.conv,
    "fc": weight_kinds.fully_connected,
    "treefc": weight_kinds.tree,
    "pool": kinds.pool,
    "cmrnorm": kinds.norm,
    "rnorm": kinds.norm,
    "cnorm": kinds.norm,
    "hs": kinds.dropout,
} | dict.fromkeys(
    ("softmax", "neuron", "eltsum", "eltmax", "concat", "blur", "nailbed", "href", "resize",
     "rscale", "rgb2yuv", "rgb2lab"),
    kinds.simple,
)  # fmt: skip
# Types that read images and say with how many channels; those of colours have three.
_IMAGES = {"conv", "local", "pool", "cmrnorm", "rnorm", "cnorm", "blur", "nailbed", "href",
           "resize", "rscale"}  # fmt: skip
_COLOURS = {"rgb2yuv", "rgb2lab"}
_MOST_GPUS = 8
WEIGHTS = {"conv", "local", "fc", "treefc"}
_NORMS = {"cmrnorm", "rnorm", "cnorm"}
# Names that rows cannot have: of the image, of the labels, and of Keras' input.
_TAKEN = {rows.IMAGE, rows.LABELS, "image"}


class SectionReader:
    """Goes through the sections from top to bottom and collects rows."""

    def __init__(self, parameters, rates: Rates, input_size, strict, seed, tree, pool_ties, gpus):
        self.parameters: dict[str, ini.Section] | None = parameters
        self.rates = rates
        self.strict = strict
        self.seed = seed
        self.tree = tree
        self.pool_ties = pool_ties
        self.gpus = gpus
        self.rows: dict[str, rows.Row] = {}
        # Rows that read the labels, themselves or through others.
        self.tail: dict[str, rows.Row] = {}
        # Costs are made when all sections are read: what they may change depends on who reads it.
        self.costs: list[cost_layers.CostSection] = []
        # Rows by the names of their sections, which some rows cannot have; data have no rows.
        self.row_names: dict[str, str] = {}
        self.read_sections: set[str] = set()
        self.shapes: dict[str, shapes.Shape] = {rows.IMAGE: (input_size, input_size, 3)}
        self.columns: dict[str, int | None] = {}
        self.imports: dict[str, str] = {}

    def shape(self, name: str) -> shapes.Shape:
        return self.shapes[name]

    def row(self, name: str) -> rows.Row | None:
        return self.rows.get(self.row_names.get(name, name))

    def above_weights(self, name: str) -> bool:
        row = self.rows.get(name)
        if row is None:
            return False
        return isinstance(row, rows.WeightRow) or any(map(self.above_weights, row.inputs))

    def vector(self, values: Values, name: str) -> str:
        """A row that yields the image `name` as the vector that it was in 2012."""
        return self._reread(values, 1, self.rows[name].column, name, 0)

    def ask_for_import(self, target: str, source: str) -> None:
        self.imports[target] = source

    def note(self, text: str) -> None:
        self.rates.note(text)

    def read(self, section: ini.Section) -> None:
        values = Values(section)
        kind = values.text("type")
        if kind == "data":
            self._data(values)
            self._check_quantization(values, kind)
            return
        if kind not in _KINDS and kind not in cost_layers.INPUTS:
            types = [*_KINDS, *cost_layers.INPUTS, "data"]
            hint = did_you_mean(kind, types, 2) or f"; types are {', '.join(types)}"
            raise values.error(f"unknown type{hint}", "type")
        inputs = [self._input(values, name) for name in values.names("inputs")]
        self._check_count(values, kind, len(inputs))
        self._check_quantization(values, kind)
        if kind in cost_layers.INPUTS:
            parameters = self._parameters(values, kind)
            self._column(values, inputs)
            reads = [self.row_names[name] for name in inputs]
            self.costs.append(cost_layers.CostSection(values, kind, parameters, tuple(reads)))
        else:
            self._layer(values, kind, inputs)

    def _check_quantization(self, values: Values, kind: str) -> None:
        sections = [self._parameters(values, kind)]
        # The layer that `neuron=` stood for in 2012 could have a section of its own.
        hidden = (self.parameters or {}).get(f"{values.section.name}_neuron")
        if hidden and values.has("neuron"):
            sections.append(Values(hidden))
        for parameters in filter(None, sections):
            for key in ("quantF", "quantB"):
                copies = parameters.text(key, "default")
                if copies not in ("default", "half"):
                    raise parameters.error("must be default or half", key)
                if copies == "half":
                    self.note(f"{key}=half (copies rounded to 16 bits) is not imitated")

    def _data(self, values: Values) -> None:
        index = values.integer("dataIdx", low=0)
        if index > 2:
            raise values.error(
                "must be 0 (images), 1 or 2 (labels): labelled images offer no other data",
                "dataIdx",
            )
        name = values.section.name
        self.row_names[name] = rows.IMAGE if index == 0 else rows.LABELS
        self.columns[name] = None

    def _input(self, values: Values, name: str) -> str:
        if name not in self.row_names:
            near = did_you_mean(name, self.row_names, 2)
            raise values.error(f"{name!r} is not an earlier layer{near}", "inputs")
        self.read_sections.add(name)
        return name

    def _check_count(self, values: Values, kind: str, count: int) -> None:
        many = ("conv", "local", "fc", "eltsum", "concat")
        wanted = cost_layers.INPUTS.get(kind) or (2 if kind == "eltmax" else 1)
        right = count >= wanted if kind in (*many, "eltmax") else count == wanted
        if not right:
            least = "at least " if kind in (*many, "eltmax") else ""
            raise values.error(
                f"{kind} takes {least}{counted(wanted, 'input')}, not {count}", "inputs"
            )

    def _parameters(self, values: Values, kind: str) -> Values | None:
        """The parameter section of this layer; raises where it must be there and is not."""
        if self.parameters is None:
            return None
        name = values.section.name
        if name in self.parameters:
            return Values(self.parameters[name])
        # In the dialect of 2011 the definition itself held what norms need.
        norm = kind in _NORMS and not (values.has("scale") and not self.strict)
        random = kind == "pool" and values.text("pool", "") == "rand"
        if norm or random or kind.startswith("cost.") or kind in WEIGHTS | {"hs"}:
            raise values.error(f"{kind} needs a section [{name}] in the parameter file")
        return None

    def _column(self, values: Values, inputs: list[str]) -> int | None:
        if values.has("gpu"):
            self.note("gpu= names the column; --config.placement says where columns are computed")
            return values.integer("gpu", low=0, high=min(self.gpus or _MOST_GPUS, _MOST_GPUS) - 1)
        column = self.columns[inputs[0]]
        if column is None and self.strict:
            raise values.error("is missing, and the first input has none", "gpu")
        return column

    def _layer(self, values: Values, kind: str, inputs: list[str]) -> None:
        name = values.section.name
        column = self._column(values, inputs)
        neuron = values.text("neuron", "")
        try:
            notation.parse_neuron(neuron or "ident")
        except UserError as error:
            raise values.error(str(error), "neuron") from None
        reads = [self.row_names[section] for section in inputs]
        if rows.LABELS in reads and kind in ("eltsum", "eltmax"):
            reads = [
                self._reread(values, i, column, read, 0)
                if read in self.rows and len(self.shapes[read]) == 3
                else read
                for i, read in enumerate(reads)
            ]
        if rows.LABELS in reads or self.tail.keys() & reads:
            width = cost_layers.check_tail(values, kind, reads, self.shapes)
            self.shapes[rows.LABELS] = width or self.shapes[rows.LABELS]
        if kind in _IMAGES or kind in _COLOURS:
            one = [3] * len(inputs)
            channels = one if kind in _COLOURS else values.integers("channels", len(inputs), low=1)
            reads = [
                self._image(values, i, column, *pair)
                for i, pair in enumerate(zip(reads, channels, strict=True))
            ]
        common = {
            "name": self._unused(name),
            "inputs": tuple(reads),
            "column": column,
            "neuron": "" if neuron == "ident" else neuron,
        }
        if kind == "softmax" or kind in ("eltsum", "eltmax") and self._differ(reads):
            common["inputs"] = tuple(
                self._reread(values, i, column, read, 0) if len(self.shapes[read]) == 3 else read
                for i, read in enumerate(reads)
            )
        layer = Layer(values, self._parameters(values, kind), reads, common, self.strict)
        row = _KINDS[kind](layer, self)
        self._add(values, row)
        if isinstance(row, rows.WeightRow):
            self._check_shared(values, row)
        self.row_names[name] = row.name
        self.columns[name] = column

    def _unused(self, name: str) -> str:
        """A name like that of a section which no row has, and which Keras takes for a layer."""
        name = name.replace("/", "_")
        while name in self.shapes or name in _TAKEN:
            name += "_"
        return name

    def _add(self, values: Values, row: rows.Row) -> None:
        try:
            self.shapes[row.name] = shapes.output_shape(row, [self.shapes[i] for i in row.inputs])
        except shapes.ShapeError as error:
            raise values.error(str(error)) from None
        self._check_sizes(values, row)
        labelled = rows.LABELS in row.inputs or self.tail.keys() & row.inputs
        (self.tail if labelled else self.rows)[row.name] = row

    def _check_sizes(self, values: Values, row: rows.Row) -> None:
        variables = shapes.variable_shapes(row, [self.shapes[name] for name in row.inputs])
        largest = max(map(math.prod, (self.shapes[row.name], *variables.values())))
        if largest > LARGEST_INTEGER:
            raise values.error(
                f"needs an array of {largest:,} numbers; there can be up to {LARGEST_INTEGER:,}"
            )

    def _image(self, values: Values, index: int, column, name: str, channels: int) -> str:
        """`name` as an image of `channels` channels: 2012 layers read any vector as one."""
        shape = self.shapes[name]
        if len(shape) == 3 and shape[2] == channels:
            return name
        count = math.prod(shape)
        side = math.isqrt(count // channels)
        if side * side * channels != count:
            raise values.error(
                f"{self._title(name)} yields {'x'.join(map(str, shape))} values, which are not a "
                f"square image of {counted(channels, 'channel')}",
                "channels",
            )
        return self._reread(values, index, column, name, channels)

    def _reread(self, values: Values, index: int, column, name: str, channels: int) -> str:
        title = self._unused(f"{values.section.name}_input{index}")
        self._add(
            values, rows.Reinterpret(name=title, inputs=(name,), column=column, channels=channels)
        )
        return title

    def _differ(self, reads: list[str]) -> bool:
        """Whether these are equally long vectors of 2012 that have different shapes here."""
        different = {self.shapes[name] for name in reads}
        return len(different) > 1 and len({math.prod(shape) for shape in different}) == 1

    def _check_shared(self, values: Values, row: rows.WeightRow) -> None:
        """Refuses kernels that are shared and have other shapes than their owner's."""
        inputs = [self.shapes[name] for name in row.inputs]
        owners: dict[str, rows.Row] = self.rows | {row.name: row}
        own = tuple(dataclasses.replace(kernel, source="") for kernel in row.kernels)
        wanted = shapes.variable_shapes(dataclasses.replace(row, kernels=own), inputs)
        for name, kernel in zip(shapes.kernel_names(row), row.kernels, strict=True):
            if not kernel.source:
                continue
            source, _, variable = kernel.source.partition("/")
            owner = owners[source]
            owned = shapes.variable_shapes(owner, [self.shapes[i] for i in owner.inputs])[variable]
            if owned != wanted[name]:
                raise values.error(
                    f"the matrix of {source} is {'x'.join(map(str, owned))}, not "
                    f"{'x'.join(map(str, wanted[name]))}",
                    "weightSource",
                )

    def _title(self, name: str) -> str:
        return "the image" if name == rows.IMAGE else name

    def finish(self, file: str) -> list[rows.Cost]:
        """Checks that nothing was left over; returns the costs, as `cost_layers.costs`."""
        made = cost_layers.costs(self.costs, self)
        unused = [name for name in self.row_names if name not in self.read_sections]
        if unused:
            raise ini.DefinitionError(f"{file}: no layer reads {', '.join(unused)}")
        if not self.costs:
            raise ini.DefinitionError(f"{file}: has no cost layer (cost.logreg)")
        return made

    def note_unread(self, sections: dict[str, ini.Section]) -> None:
        """Names what the files have and nothing reads: misspelt keys, or of another pair."""
        layers = {name for section in sections for name in (section, f"{section}_neuron")}
        unpaired = [name for name in self.parameters or {} if name not in layers]
        if unpaired:
            more = f" and {len(unpaired) - 4} more" if len(unpaired) > 4 else ""
            self.note(
                f"the parameter file has sections of layers that are not there: "
                f"{', '.join(unpaired[:4])}{more}"
            )
        paired = {n: s for n, s in (self.parameters or {}).items() if n not in unpaired}
        for file_sections in (sections, paired):
            for key, (section, option) in ini.unread(file_sections).items():
                near = [KEYS.get(name, name) for name in near_misses(key, section.asked, 2)]
                meant = f"; did you mean {' or '.join(near)}?" if near else ""
                self.note(
                    f"{section.file}:{option.line}: [{section.name}] {option.name}={option.value}: "
                    f"has no meaning here{meant}"
                )
            for section in file_sections.values():
                self._note_repeated(section)

    def _note_repeated(self, section: ini.Section) -> None:
        if section.again:
            self.note(f"{section.file}: {section.repeated()}")
        for option in section.options.values():
            if option.replaces:
                self.note(
                    f"{section.file}:{option.line}: [{section.name}] {option.name}="
                    f"{ini.cut(option.value)}: counts instead of the value in line "
                    f"{option.replaces}"
                )
