"""Columns merged into single layers, and weights between both forms.

`conv2a` and `conv2b` become `conv2` with two groups, `fc6a` and `fc6b` become `fc6`: the same
function with fewer and larger operations, but columns cannot be placed apart.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from alexnet_tf.tables import rows, shapes
from alexnet_tf.tables.rows import TableError
from alexnet_tf.tables.table import Table

Values = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Assembly:
    """How one variable of the merged net is made of the columns' variables.

    Attributes:
        name: of the merged variable.
        columns: per column, the names of its variables in the order of the inputs' columns.
        input_shapes: shape of each input; images of fully connected layers interleave.
        kind: "conv", "fc" or "bias".
        sources: shapes of the columns' variables by name.
    """

    name: str
    columns: tuple[tuple[str, ...], ...]
    input_shapes: tuple[shapes.Shape, ...]
    kind: str
    sources: Mapping[str, shapes.Shape]

    def assemble(self, values: Values) -> np.ndarray:
        """The merged value."""
        parts = [[np.asarray(values[name]) for name in names] for names in self.columns]
        if self.kind == "bias":
            return np.concatenate([part[0] for part in parts], axis=-1)
        if self.kind == "conv":
            return np.concatenate([np.concatenate(part, axis=2) for part in parts], axis=3)
        merged = []
        for part in parts:
            images = [
                value.reshape(*shape, value.shape[-1])
                for value, shape in zip(part, self.input_shapes, strict=True)
            ]
            merged.append(np.concatenate(images, axis=-2).reshape(-1, part[0].shape[-1]))
        return np.concatenate(merged, axis=1)

    def divide(self, value: np.ndarray) -> dict[str, np.ndarray]:
        """The columns' values; the inverse of `assemble`."""
        result = {}
        first = 0
        for names in self.columns:
            width = self.sources[names[0]][-1]
            column = np.asarray(value)[..., first : first + width]
            first += width
            if self.kind == "fc" and self.input_shapes:
                depth = sum(shape[-1] for shape in self.input_shapes)
                column = column.reshape(*self.input_shapes[0][:-1], depth, width)
            begin = 0
            for index, name in enumerate(names):
                if self.kind == "bias":
                    result[name] = column
                    continue
                shape = self.sources[name]
                size = shape[2] if self.kind == "conv" else self.input_shapes[index][-1]
                result[name] = column[..., begin : begin + size, :].reshape(shape)
                begin += size
        return result


@dataclass(frozen=True)
class Merged:
    """A table without columns and the way its weights are made.

    Attributes:
        table: the merged table; layers that cannot be merged stay as they are.
        assemblies: by the name of the merged variable; other variables keep name and value.
    """

    table: Table
    assemblies: Mapping[str, Assembly]

    def to_grouped(self, values: Values) -> dict[str, np.ndarray]:
        """Values of the columns' variables (weights or velocities) as those of the merged net."""
        used = {n for a in self.assemblies.values() for names in a.columns for n in names}
        kept = {name: np.asarray(value) for name, value in values.items() if name not in used}
        return kept | {name: a.assemble(values) for name, a in self.assemblies.items()}

    def to_towers(self, values: Values) -> dict[str, np.ndarray]:
        """The inverse of `to_grouped`."""
        kept = {n: np.asarray(v) for n, v in values.items() if n not in self.assemblies}
        for name, assembly in self.assemblies.items():
            kept |= assembly.divide(np.asarray(values[name]))
        return kept


# Asked whether that can be done before it is.
@functools.lru_cache(maxsize=4)
def merge(table: Table) -> Merged:
    """Merges the columns of `table`; a table of one column stays as it is.

    Raises:
        TableError: layers of a group learn in different ways, or have limits on the norms of
            kernels that would become one.
    """
    if table.num_columns == 1:
        return Merged(table, {})
    return _Merger(table).run()


def merged(table: Table, implementation: str) -> Merged | None:
    """What `build.build` makes of `table` for an implementation; None: the table as it is."""
    return None if implementation == "towers" else merge(table)


class _Merger:
    def __init__(self, table: Table):
        self.table = table
        self.shapes = table.shapes()
        self.rows_by_name = {row.name: row for row in table.layers}
        self.groups = self._find_groups()
        self.group_of = {name: stem for stem, names in self.groups.items() for name in names}
        # Merged stems, and tensors that stand for a whole group under another name.
        self.made: dict[str, str] = {}
        self.rows: list[rows.Row] = []
        self.assemblies: dict[str, Assembly] = {}
        self.slices: set[str] = set()
        # Rows whose matrices are shared: merged, neither side would find them.
        self.sharing = {
            name
            for row in table.layers
            if isinstance(row, rows.WeightRow)
            for kernel in row.kernels
            if kernel.source
            for name in (row.name, kernel.source.partition("/")[0])
        }

    def _find_groups(self) -> dict[str, tuple[str, ...]]:
        groups = {}
        for row in self.table.layers:
            if row.column != 0 or not row.name.endswith("a"):
                continue
            stem = row.name[:-1]
            names = tuple(stem + rows.COLUMN_LETTERS[c] for c in range(self.table.num_columns))
            if all(
                n in self.rows_by_name and self.rows_by_name[n].column == c
                for c, n in enumerate(names)
            ):
                groups[stem] = names
        return groups

    def run(self) -> Merged:
        for row in self.table.layers:
            stem = self.group_of.get(row.name)
            if stem is None:
                self._single(row)
            elif row.name == self._last(stem):
                members = [self.rows_by_name[name] for name in self.groups[stem]]
                if not self._group(stem, members):
                    for member in members:
                        self._single(member)
        table = dataclasses.replace(
            self.table, layers=tuple(self.rows), output=self.table.output_name
        )
        return Merged(table, self.assemblies)

    def _last(self, stem: str) -> str:
        return [row.name for row in self.table.layers if row.name in self.groups[stem]][-1]

    def _whole(self, names: tuple[str, ...]) -> str | None:
        """The group that `names` are all members of, in any order, if it was merged."""
        stem = self.group_of.get(names[0])
        if stem in self.made and sorted(names) == sorted(self.groups[stem]):
            return stem
        return None

    def _single(self, row: rows.Row) -> None:
        """A row outside of groups: reads a group as one input, or slices of it."""
        twice = len(set(row.inputs)) < len(row.inputs)
        stem = self._whole(row.inputs) if len(row.inputs) > 1 and not twice else None
        if stem and isinstance(row, rows.Concat) and row.inputs == self.groups[stem]:
            self.rows.append(
                rows.Slice(
                    name=row.name, inputs=(self.made[stem],), begin=0, size=self._depth(stem)
                )
            )
            return
        if stem and isinstance(row, rows.FullyConnected) and row.name not in self.sharing:
            self._weights(row.name, stem, [row], rows.FullyConnected, {"outputs": row.outputs})
            return
        inputs = tuple(self._resolve(name) for name in row.inputs)
        self.rows.append(dataclasses.replace(row, inputs=inputs, column=None))

    def _depth(self, stem: str) -> int:
        return sum(self.shapes[name][-1] for name in self.groups[stem])

    def _resolve(self, name: str) -> str:
        """`name`, cut out of its merged group where it is part of one."""
        stem = self.group_of.get(name)
        if stem not in self.made:
            return name
        if name not in self.slices:
            self.slices.add(name)
            size = self.shapes[name][-1]
            before = self.groups[stem][: self.groups[stem].index(name)]
            begin = sum(self.shapes[other][-1] for other in before)
            source = self.made[stem]
            self.rows.append(rows.Slice(name=name, inputs=(source,), begin=begin, size=size))
        return name

    def _group(self, stem: str, members: list[rows.Row]) -> bool:
        """Adds the merged row of a group; False where it cannot be merged."""
        first = members[0]
        reads = [member.inputs for member in members]
        if any(len(set(names)) < len(names) for names in reads):
            return False  # A row may read another twice, with a kernel for each.
        if any(_draws(member) for member in members):
            return False  # Each column draws for itself, by its row's name.
        same = len(set(reads)) == 1 and len(reads[0]) == 1 and reads[0][0] not in self.group_of
        own = None
        if all(len(names) == 1 for names in reads):
            own = self._whole(tuple(names[0] for names in reads))
        everything = {self._whole(names) if len(names) > 1 else None for names in reads}
        whole = everything.pop() if len(everything) == 1 else None
        if isinstance(first, rows.Slice):
            sizes = {self.shapes[first.inputs[0]][-1]}
            if len(set(reads)) == 1 and sizes == {self._depth(stem)}:
                self.made[stem] = first.inputs[0]
                return True
            return False
        if isinstance(first, rows.WeightRow):
            return self._weight_group(stem, members, same, own, whole)
        kinds = {dataclasses.replace(m, name="", inputs=(), column=None) for m in members}
        if not own or len(kinds) > 1:
            return False
        source = self.made[own]
        if isinstance(first, rows.CrossMapNorm):
            if not self._equal_depths(own):
                return False
            groups = first.groups * len(members)
            self.rows.append(
                dataclasses.replace(first, name=stem, inputs=(source,), column=None, groups=groups)
            )
        elif isinstance(first, rows.Dropout):
            parts = tuple((m.name, self.shapes[m.name][-1]) for m in members)
            self.rows.append(
                dataclasses.replace(first, name=stem, inputs=(source,), column=None, parts=parts)
            )
        elif isinstance(first, rows.Pool | rows.SameMapNorm | rows.ContrastNorm | rows.Neuron):
            self.rows.append(dataclasses.replace(first, name=stem, inputs=(source,), column=None))
        else:
            return False
        self.made[stem] = stem
        return True

    def _equal_depths(self, stem: str) -> bool:
        """Whether the members yield equally many channels, as native groups need."""
        return len({self.shapes[name][-1] for name in self.groups[stem]}) == 1

    def _weight_group(self, stem, members, same, own, whole) -> bool:
        first = members[0]
        if len({(type(member), member.neuron) for member in members}) > 1:
            return False
        if any(member.name in self.sharing for member in members):
            return False
        if isinstance(first, rows.Conv) and not first.kernels[0].connections:
            geometry = {(k.size, k.stride, k.padding) for m in members for k in m.kernels}
            if len(geometry) != 1 or not (same or own or whole) or not first.shared_biases:
                return False
            kernel = first.kernels[0]
            if whole and kernel.groups > 1:
                return False
            if own and not (self._equal_depths(own) and self._equal_depths(stem)):
                return False
            groups = kernel.groups * len(members) if own else kernel.groups
            fields = {"filters": sum(member.filters for member in members)}
            self._weights(stem, own or whole, members, rows.Conv, fields, groups)
        elif isinstance(first, rows.FullyConnected) and (same or whole):
            fields = {"outputs": sum(member.outputs for member in members)}
            self._weights(stem, whole, members, rows.FullyConnected, fields)
        else:
            return False
        self.made[stem] = stem
        return True

    def _weights(self, name, source_stem, members, kind, fields, groups=None) -> None:
        """Adds the merged weight row `name` of `members`, and how its variables are made."""
        first = members[0]
        settings = {dataclasses.replace(k, source="") for m in members for k in m.kernels}
        if len(settings) != 1 or len({m.bias for m in members}) != 1:
            raise TableError(
                f"{', '.join(m.name for m in members)} learn in different ways and cannot be one "
                "layer; use implementation=towers"
            )
        kernel = first.kernels[0]
        if len(first.kernels) > 1 and (kernel.norm_ball > 0 or kernel.norm_range[1] > 0):
            raise TableError(
                f"the kernels of {first.name} have limits on their norms, each for itself, and "
                "cannot be one; use implementation=towers"
            )
        if groups is not None:
            kernel = dataclasses.replace(kernel, groups=groups)
        source = self.made[source_stem] if source_stem else first.inputs[0]
        self.rows.append(
            kind(
                name=name,
                inputs=(source,),
                neuron=first.neuron,
                kernels=(kernel,),
                bias=first.bias,
                **fields,
            )
        )
        sources: dict[str, shapes.Shape] = {}
        columns = []
        for member in members:
            inputs = [self.shapes[i] for i in member.inputs]
            variables = shapes.variable_shapes(member, inputs)
            sources |= {f"{member.name}/{key}": shape for key, shape in variables.items()}
            keys = shapes.kernel_names(member)
            by_input = dict(zip(member.inputs, keys, strict=True))
            # In the order of the columns, whatever the order in which this column reads them.
            columns.append(tuple(f"{member.name}/{by_input[i]}" for i in sorted(by_input)))
        ordered = sorted(first.inputs)
        assembly_kind = "conv" if kind is rows.Conv else "fc"
        self.assemblies[f"{name}/kernel"] = Assembly(
            f"{name}/kernel",
            tuple(columns),
            tuple(self.shapes[i] for i in ordered),
            assembly_kind,
            sources,
        )
        self.assemblies[f"{name}/bias"] = Assembly(
            f"{name}/bias", tuple((f"{m.name}/bias",) for m in members), (), "bias", sources
        )


def _draws(row: rows.Row) -> bool:
    """Whether a row draws random numbers, dropout apart, whose merged form knows its parts."""
    return row.neuron == "nrelu" or isinstance(row, rows.Pool) and row.kind == "rand"
