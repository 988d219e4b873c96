"""Definition and parameter files of the 2012 code -> layer table."""

from __future__ import annotations

import math
from collections.abc import Sequence

from alexnet_tf.tables.cuda_convnet import cost_layers, ini
from alexnet_tf.tables.cuda_convnet.rates import MODES, Rates
from alexnet_tf.tables.cuda_convnet.section_reader import WEIGHTS, SectionReader
from alexnet_tf.tables.cuda_convnet.values import Values
from alexnet_tf.tables.rows import TableError
from alexnet_tf.tables.table import Table

# Images of the run archive; a net of CIFAR-10 whose untied layers lie above pools had crops.
_IMAGENET, _CIFAR, _CIFAR_CROP, _GRADIENT_CHECK = 224, 32, 24, 8


def read(
    layers: str,
    layer_params: str = "",
    *,
    num_classes: int = 0,
    input_size: int = 0,
    strict: bool = False,
    seed: int = 0,
    rates: str = "auto",
    start_rate: float = 0.01,
    start_bias_rate: float = 0.02,
    base_rate: float = 0.01,
    tree: tuple[int, ...] = (),
    pool_ties: str = "one",
    gpus: int = 0,
    outputs: str = "file",
) -> Table:
    """The table of a definition file, with the settings of its parameter file.

    Args:
        layers, layer_params: the files; without the second, learning settings are stand-ins
            (shapes and counts need none).
        num_classes: of the dataset, which the output must have; 0: as the file says.
        input_size: pixels; 0: the author's use (the files do not say): 224 where the first filters
            have a stride, else 32; 24 for nets with untied layers where one layer reads the image;
            8 for `layers.gc.cfg`.
        strict: accept only what the final 2012 code accepted.
        seed: of the channels of `randSparse`.
        rates, start_rate, start_bias_rate, base_rate: see `rates.Rates`.
        tree: for `treefc`: parent of every node, -1 for the root; classes come first.
        pool_ties: "one" or "all" (what the 2012 code did), of every `rows.Pool`.
        gpus: how many the run of 2012 had, which `gpu` must lie below; 0: up to 8.
        outputs: of the last layer: "file", as many as it says, or "dataset", `num_classes`.

    Raises:
        DefinitionError: something wrong or unsupported in a file.
        TableError: `num_classes` is not what the file says.
    """
    if input_size < 0:
        raise TableError(f"config.network.input_size must be 0 or more pixels, not {input_size}")
    _check_choice("rates", rates, MODES)
    _check_choice("outputs", outputs, ("file", "dataset"))
    _check_choice("pool_ties", pool_ties, ("one", "all"))
    sections = _sections(layers, strict, of_layers=True)
    parameters = _sections(layer_params, strict, of_layers=False) if layer_params else None
    chosen = Rates(rates, start_rate, start_bias_rate, base_rate, strict)
    if outputs == "dataset" and num_classes:
        cost_layers.fit(sections, num_classes)
        chosen.note("the last layer has as many outputs as the dataset has classes, not the file's")
    _resolve(chosen, sections, parameters)
    file_name = layers.replace("\\", "/").rsplit("/", 1)[-1]
    size = input_size or _usual_size(file_name, sections)
    if not input_size:
        chosen.note(f"input of {size}x{size} pixels, the author's use; input_size changes it")
    reader = SectionReader(parameters, chosen, size, strict, seed, tuple(tree), pool_ties, gpus)
    for section in sections.values():
        reader.read(section)
    cost, *more_costs = reader.finish(layers)
    reader.note_unread(sections)
    classes = cost_layers.classes(layers, cost, math.prod(reader.shapes[cost.output]), num_classes)
    for other in more_costs:
        if other.reads_labels and other.output != cost.output:
            outputs_of_other = math.prod(reader.shapes[other.output])
            cost_layers.classes(layers, other, outputs_of_other, classes)
    return Table(
        file_name.removesuffix(".cfg"),
        tuple(reader.rows.values()),
        size,
        classes,
        output=cost.output,
        cost=cost,
        more_costs=tuple(more_costs),
        imports=tuple(reader.imports.items()),
        notes=tuple(chosen.notes),
    )


def _check_choice(option: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        listed = " or ".join(choices) if len(choices) == 2 else f"one of {', '.join(choices)}"
        raise TableError(f"config.network.{option} must be {listed}, not {value!r}")


def _sections(file: str, strict: bool, *, of_layers: bool) -> dict[str, ini.Section]:
    """The sections of a file of the right kind: those of layers have types, settings have none."""
    sections = ini.read(file, strict=strict)
    if sections and any("type" in section.options for section in sections.values()) != of_layers:
        kind = "definition" if of_layers else "parameter"
        raise ini.DefinitionError(
            f"{file}: is not a layer-{kind} file: {'no' if of_layers else 'a'} section has a type"
        )
    return sections


def _resolve(
    chosen: Rates, sections: dict[str, ini.Section], parameters: dict[str, ini.Section] | None
) -> None:
    """Says which rates training begins with, from those of all layers together."""
    if parameters is None:
        chosen.note("without a parameter file, rates, decays and norms are stand-ins")
        return
    # Sections of layers that are not there mean nothing.
    learning = [
        parameters[name]
        for name, section in sections.items()
        if name in parameters and Values(section).text("type", "") in WEIGHTS
    ]
    example_dialect = not any("gpu" in section.options for section in sections.values())
    chosen.resolve(learning, example_dialect)


def _usual_size(file_name: str, sections: dict[str, ini.Section]) -> int:
    """Side of the author's images in pixels, which the files do not say."""
    if file_name == "layers.gc.cfg":
        return _GRADIENT_CHECK
    layers = [Values(section) for section in sections.values()]
    types = {values.section.name: values.text("type", "") for values in layers}
    if "local" in types.values():
        images = {v.section.name for v in layers if v.text("dataIdx", "") == "0"}
        readers = [
            v
            for v in layers
            if "inputs" in v.section.options and types[v.section.name][:4] != "cost"
        ]
        of_image = [v for v in readers if images & set(v.names("inputs"))]
        return _CIFAR_CROP if len(of_image) == 1 else _CIFAR
    strides = [v.text("stride", "1") for v in layers if v.text("type", "") in ("conv", "nailbed")]
    return _IMAGENET if strides and strides[0] not in ("1", "") else _CIFAR
