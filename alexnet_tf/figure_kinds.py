"""The kinds of figures that `alexnet_tf.figures` draws: the flags of each, and its drawing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from absl import flags

from alexnet_common.errors import UsageError, UserError
from alexnet_tf import network_flags, recipes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from alexnet_tf.inference.images import Batch
    from alexnet_tf.inference.network import Network

# A figure, and what JSON says of it.
Drawn = tuple["Figure", Mapping[str, Any]]


def _define_kernels(flag_values: flags.FlagValues) -> None:
    network_flags.define(flag_values)
    flags.DEFINE_enum(
        "scale",
        "kernel",
        ["kernel", "column", "all"],
        "What grey levels share a scale: each kernel alone, so that weak ones are seen; a column; "
        "or all, as the 2012 code drew them.",
        flag_values=flag_values,
    )


def _kernels(flag_values: flags.FlagValues) -> Drawn:
    network = network_flags.load(flag_values)
    from alexnet_tf.analysis import kernels
    from alexnet_tf.model import build, placement
    from alexnet_tf.pictures import kernels as pictures

    layer, variables = pictures.first_kernels(build.named_variables(network.model))
    if not variables:
        raise UsageError(f"network {network.run.table.name} begins with no convolution of RGB")
    columns = [placement.tensorflow_variable(variable).numpy() for variable in variables]
    figure = kernels.draw(layer, columns, flag_values.scale)
    scores = kernels.scores(columns)
    return figure, {"layer": layer, "color_scores": scores, "chance": pictures.CHANCE_COLOR_SCORE}


def _define_chosen_images(flag_values: flags.FlagValues, count: int) -> None:
    network_flags.define(flag_values)
    flags.DEFINE_multi_string(
        "images",
        [],
        "Image files or folders; empty: some of the validation split.",
        flag_values=flag_values,
    )
    flags.DEFINE_integer("count", count, "Images, at most.", lower_bound=1, flag_values=flag_values)
    flags.DEFINE_integer(
        "seed", 0, "Of the choice among a split's images.", lower_bound=0, flag_values=flag_values
    )


def _chosen_images(flag_values: flags.FlagValues, network: Network) -> Batch:
    """The images that the flags ask for: files, or a sample of the validation split."""
    from alexnet_tf.inference import images

    if flag_values.images:
        paths = images.find(flag_values.images)[: flag_values.count]
        return next(network.files(paths, len(paths)))
    data = network_flags.dataset_of(network, flag_values.data_dir)
    return images.sample(data, "validation", flag_values.count, flag_values.seed)


def _define_top5(flag_values: flags.FlagValues) -> None:
    _define_chosen_images(flag_values, 8)
    flags.DEFINE_enum("views", "10", ["1", "10"], "Views of each image.", flag_values=flag_values)


def _top5(flag_values: flags.FlagValues) -> Drawn:
    network = network_flags.load(flag_values)
    from alexnet_tf.analysis import top5

    batch = _chosen_images(flag_values, network)
    probabilities = network.predict_batch(batch.images, views=int(flag_values.views))
    labels = _labels(batch)
    figure = top5.draw(batch.images, probabilities, network.class_titles, labels)
    return figure, {
        "images": [
            {
                "name": name,
                "class": None if label is None else network.class_names[label],
                "best": network.class_names[int(p.argmax())],
                "probability": float(p.max()),
            }
            for name, label, p in zip(batch.names, labels, probabilities, strict=True)
        ]
    }


def _labels(batch: Batch) -> list[int | None]:
    return [None] * len(batch.names) if batch.labels is None else batch.labels.tolist()


def _define_neighbors(flag_values: flags.FlagValues) -> None:
    _define_chosen_images(flag_values, 5)
    flags.DEFINE_integer("neighbors", 6, "Of each image.", lower_bound=1, flag_values=flag_values)
    flags.DEFINE_enum(
        "by",
        "features",
        ["features", "pixels"],
        "Distance of a layer's outputs, or of the pixels themselves, for comparison.",
        flag_values=flag_values,
    )
    flags.DEFINE_string(
        "layer", "", "Layer of the features; empty: the last hidden one.", flag_values=flag_values
    )


def _neighbors(flag_values: flags.FlagValues) -> Drawn:
    network = network_flags.load(flag_values)
    from alexnet_tf.analysis import neighbors
    from alexnet_tf.inference import images, vectors

    by = vectors.by_pixels(network)
    if flag_values.by == "features":
        by = vectors.by_layer(network, flag_values.layer)
    batch = _chosen_images(flag_values, network)
    data = network_flags.dataset_of(network, flag_values.data_dir)
    k = min(flag_values.neighbors, data.split("train").count)
    searched = images.of_split(data, "train", 128)
    nearest = neighbors.find(by.of(batch.images), searched, by.of, k)
    labels = _labels(batch)
    figure = neighbors.draw(batch.images, labels, nearest, network.class_titles, by.words)
    return figure, {
        "by": by.words,
        "queries": [
            {
                "name": name,
                "neighbors": [
                    {"name": n, "class": network.class_names[label], "distance": float(distance)}
                    for n, label, distance in zip(
                        nearest.names[row], nearest.labels[row], nearest.distances[row], strict=True
                    )
                ],
            }
            for row, name in enumerate(batch.names)
        ],
    }


def _define_activations(flag_values: flags.FlagValues) -> None:
    network_flags.define(flag_values)
    flags.DEFINE_string(
        "image", "", "An image file; empty: one of the validation split.", flag_values=flag_values
    )
    flags.DEFINE_integer(
        "seed", 0, "Of the choice among a split's images.", lower_bound=0, flag_values=flag_values
    )
    flags.DEFINE_string("layer", "conv1", "A layer with maps.", flag_values=flag_values)
    flags.DEFINE_integer(
        "maps", 32, "Maps per column, those with the largest values.", lower_bound=1,
        flag_values=flag_values,
    )  # fmt: skip


def _activations(flag_values: flags.FlagValues) -> Drawn:
    network = network_flags.load(flag_values)
    import tensorflow as tf

    from alexnet_tf.analysis import activations
    from alexnet_tf.inference import images
    from alexnet_tf.input import preprocess

    chosen = activations.choose(network.run.table, flag_values.layer)
    if flag_values.image:
        name, square = flag_values.image, network.pixels(flag_values.image)
    else:
        data = network_flags.dataset_of(network, flag_values.data_dir)
        batch = images.sample(data, "validation", 1, flag_values.seed)
        name, square = batch.names[0], batch.images
    rows = [column.name for column in chosen]
    maps = [value.numpy()[0] for value in network.feature_step(rows)(tf.constant(square))]
    seen = preprocess.views(square, network.input_size, 1)[0]
    figure = activations.draw(seen, flag_values.layer, rows, maps, flag_values.maps)
    strongest = {
        row: activations.strongest(values, flag_values.maps).tolist()
        for row, values in zip(rows, maps, strict=True)
    }
    return figure, {"image": name, "channels": strongest}


def _define_augmentation(flag_values: flags.FlagValues) -> None:
    flags.DEFINE_string("workdir", None, "Work folder of a run.", flag_values=flag_values)
    flags.DEFINE_string(
        "data_dir", "", "The training dataset, if it was moved.", flag_values=flag_values
    )
    flags.DEFINE_integer("count", 4, "Images.", lower_bound=1, flag_values=flag_values)
    flags.DEFINE_integer("epochs", 7, "Epochs.", lower_bound=1, flag_values=flag_values)
    flags.mark_flag_as_required("workdir", flag_values=flag_values)


def _augmentation(flag_values: flags.FlagValues) -> Drawn:
    from alexnet_common.tensorflow_import import import_tensorflow

    import_tensorflow()
    from alexnet_tf.analysis import augmentation
    from alexnet_tf.input.preprocess import Preprocess
    from alexnet_tf.runs import definition_copy, restore
    from alexnet_tf.runs.workdir import WorkFolder
    from alexnet_tf.tables import table
    from data_prep import dataset

    folder = WorkFolder(flag_values.workdir)
    config = folder.load_config()
    facts = restore.training_facts(folder, config, flag_values.data_dir)
    data = dataset.load(flag_values.data_dir or config.data_dir)
    network = definition_copy.kept(folder.folder, config.network)
    crop = table.from_config(network, facts.num_classes).input_size
    prepare = Preprocess(facts, config.preprocess, crop)
    shown = augmentation.collect(config, data, prepare, crop, flag_values.count, flag_values.epochs)
    return augmentation.draw(shown, config), {"crop": crop, "stored": data.image_size}


def _define_curves(flag_values: flags.FlagValues) -> None:
    flags.DEFINE_list(
        "workdir",
        None,
        "Work folder of a run, or several, separated by commas; they may still train.",
        flag_values=flag_values,
    )
    flags.mark_flag_as_required("workdir", flag_values=flag_values)


def _curves(flag_values: flags.FlagValues) -> Drawn:
    from alexnet_tf.analysis import curves, history
    from alexnet_tf.runs.workdir import WorkFolder

    folders = [WorkFolder(workdir) for workdir in flag_values.workdir]
    if not folders:
        raise UsageError("--workdir names no folder")
    histories = {}
    for folder in folders:
        folder.load_config()
        run_history = history.read(folder.metrics_file)
        if not run_history.lines:
            raise UserError(f"{folder.folder} has no numbers yet: its metrics.jsonl is empty")
        histories[str(folder.folder)] = run_history
    return curves.draw(histories), {
        "runs": [
            {
                "workdir": workdir,
                "steps": run_history.lines[-1]["step"],
                "best_val_top_1_error": (run_history.best or {}).get("val_top_1_error"),
            }
            for workdir, run_history in histories.items()
        ]
    }


def _define_network(flag_values: flags.FlagValues) -> None:
    flags.DEFINE_string("workdir", "", "Work folder of a run.", flag_values=flag_values)
    flags.DEFINE_string(
        "config",
        "",
        "In place of --workdir a recipe: its name or file; --config.KEY=VALUE changes it.",
        flag_values=flag_values,
    )
    flags.DEFINE_multi_string(
        "config_override", [], "The same as --config.KEY=VALUE: KEY=VALUE.", flag_values=flag_values
    )


def _network(flag_values: flags.FlagValues) -> Drawn:
    from alexnet_tf.analysis import network_diagram
    from alexnet_tf.tables import summary, table

    if bool(flag_values.workdir) == bool(flag_values.config):
        raise UsageError("name the network: either --workdir=RUN or --config=RECIPE")
    if flag_values.workdir:
        from alexnet_tf.runs import definition_copy, restore
        from alexnet_tf.runs.workdir import WorkFolder

        folder = WorkFolder(flag_values.workdir)
        config = folder.load_config()
        network = definition_copy.kept(folder.folder, config.network)
        classes = restore.training_facts(folder, config).num_classes
    else:
        config = recipes.from_flags(flag_values)
        network, classes = config.network, config.num_classes
    network_table = table.from_config(network, classes)
    return network_diagram.draw(network_table), {
        "network": network_table.name,
        "parameters": summary.parameter_count(network_table),
        "neurons": summary.neuron_count(network_table),
        "columns": network_table.num_columns,
    }


KINDS: dict[str, tuple[Callable[[flags.FlagValues], None], Callable[[Any], Drawn], str]] = {
    "kernels": (
        _define_kernels,
        _kernels,
        """Draws the kernels of the first layer by column, as figure 3 of the paper.

Example:
  python -m alexnet_tf.figures kernels --workdir=RUN --output_dir=pictures

A kernel's colour score is the share of its energy that grey pixels do not see: 0 is grey, 1 only
colour, and independent weights have 2/3.
""",
    ),
    "top5": (
        _define_top5,
        _top5,
        """Draws images with the five most probable classes as bars, as figure 4 of the paper, left.

Example:
  python -m alexnet_tf.figures top5 --workdir=RUN --output_dir=pictures
  python -m alexnet_tf.figures top5 --workdir=RUN --images=photos --output_dir=pictures

The right class has another colour, where it is known.
""",
    ),
    "neighbors": (
        _define_neighbors,
        _neighbors,
        """Draws test images and the training images nearest to them, as figure 4, right.

Example:
  python -m alexnet_tf.figures neighbors --workdir=RUN --output_dir=pictures
  python -m alexnet_tf.figures neighbors --workdir=RUN --by=pixels --output_dir=pixels

Nearest is by the Euclidean distance of the last hidden layer's outputs (section 6.1), or, for
comparison, of the pixels. A green frame is the same class, an orange one another.
""",
    ),
    "activations": (
        _define_activations,
        _activations,
        """Draws the maps of a layer for one image: where its kernels answer.

Example:
  python -m alexnet_tf.figures activations --workdir=RUN --layer=conv3 --output_dir=pictures
""",
    ),
    "augmentation": (
        _define_augmentation,
        _augmentation,
        """Draws what the network is shown of some training images in its first epochs.

Example:
  python -m alexnet_tf.figures augmentation --workdir=RUN --output_dir=pictures

The very crops, mirror images and colour noise that the run drew from its seed.
""",
    ),
    "curves": (
        _define_curves,
        _curves,
        """Draws loss, errors and learning rate of one run, or of several together, over the epochs.

Example:
  python -m alexnet_tf.figures curves --workdir=RUN --output_dir=pictures
  python -m alexnet_tf.figures curves --workdir=RUN1,RUN2 --output_dir=pictures

The numbers are those of metrics.jsonl; a run that still trains may be drawn too.
""",
    ),
    "network": (
        _define_network,
        _network,
        """Draws the table of layers as a diagram: shapes, columns and where they meet.

Example:
  python -m alexnet_tf.figures network --config=configs/alexnet_paper.py --output_dir=pictures
""",
    ),
}
