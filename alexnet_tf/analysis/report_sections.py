"""The sections of a report as plain values for its template: texts, tables, inline pictures."""

from __future__ import annotations

import base64
import datetime
import io
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from alexnet_common.messages import duration
from alexnet_tf import recipes
from alexnet_tf.analysis import charts, contact_sheet, curves, plots, published, results
from alexnet_tf.analysis.history import History
from alexnet_tf.evaluation import ensemble
from alexnet_tf.pictures import kernels as kernel_pictures
from alexnet_tf.recipes import ConfigDict
from alexnet_tf.tables import summary
from alexnet_tf.tables.rows import COLUMN_LETTERS
from alexnet_tf.tables.table import Table
from data_prep import dataset

# Pairs of classes in the report.
PAIRS = 10


def table(heads: Sequence[str], rows: Iterable[Sequence[Any]], numbers: str = "") -> dict[str, Any]:
    """A table for the template.

    Args:
        heads: of the columns.
        rows: texts.
        numbers: a letter per column, "n" for those of numbers; shorter: the others are texts.
    """
    marks = [mark == "n" for mark in numbers.ljust(len(heads))]

    def cells(values: Sequence[Any]) -> list[dict[str, Any]]:
        pairs = zip(values, marks, strict=True)
        return [{"text": "" if v is None else str(v), "number": mark} for v, mark in pairs]

    return {"heads": cells(heads), "rows": [cells(row) for row in rows]}


def inline(content: bytes, kind: str) -> str:
    """Bytes as a data URL; kind: "png", "jpeg" or "svg+xml"."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def state(config: ConfigDict, history: History, written: float | None) -> tuple[str, bool]:
    """Where the run stands, in words, and whether it has ended.

    Args:
        config: of the run.
        history: what it has written.
        written: when metrics.jsonl was last written, seconds since 1970; None: never.
    """
    if not history.lines:
        return "Begun; nothing has been measured yet.", False
    step = history.lines[-1]["step"]
    epochs = len(history.epochs)
    per_epoch = history.steps_per_epoch
    planned = f"{config.train_epochs}" if not config.train_steps else None
    if config.train_steps:
        ended = step >= config.train_steps
        text = f"{step:,} of {config.train_steps:,} steps"
    else:
        ended = epochs >= config.train_epochs
        text = f"{epochs} of {planned} epochs, {step:,} steps"
        if per_epoch and not ended:
            text += f" of {per_epoch * config.train_epochs:,.0f}"
    if ended:
        return f"Finished: {text}.", True
    when = f"; last line written {moment(written)}" if written else ""
    return f"Not finished: it trains or was stopped after {text}{when}.", False


def moment(seconds: float) -> str:
    """A time of the clock, in UTC."""
    time = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return time.strftime("%Y-%m-%d %H:%M UTC")


def cards(history: History, result: results.Result | None) -> list[dict[str, str]]:
    """The most important numbers."""
    chosen = []
    if result:
        for k, share in ((1, result.tally.top_1), (5, result.tally.top_5)):
            low, high = share.interval
            chosen.append(
                {
                    "title": f"top-{k} error, {_views(result.views)}",
                    "value": f"{share.value:.2%}",
                    "words": f"{low:.2%} to {high:.2%} (95%)",
                }
            )
    best = history.best
    if best:
        chosen.append(
            {
                "title": "best epoch, centre view",
                "value": f"{best['val_top_1_error']:.2%}",
                "words": f"top-1 error in epoch {best['epoch']}",
            }
        )
    if history.images_per_second:
        speed = history.images_per_second
        chosen.append(
            {
                "title": "training speed",
                "value": f"{speed:,.0f}" if speed >= 10 else f"{speed:.2g}",
                "words": "images/s (median)",
            }
        )
    if history.seconds:
        chosen.append(
            {"title": "time", "value": duration(history.seconds), "words": "of finished epochs"}
        )
    return chosen


def reached(
    history: History,
    opened: ensemble.Opened | None,
    result: results.Result | None,
) -> tuple[dict[str, Any], list[str]]:
    """What was reached, published results beside it where they compare, and notes below."""
    rows: list[list[str]] = []
    notes = []
    last = history.validated[-1] if history.validated else None
    for name, line in (("best epoch", history.best), ("last epoch", last)):
        if line:
            rows.append(
                [
                    f"{name} of training, epoch {line['epoch']}",
                    "1",
                    f"{line['val_top_1_error']:.2%}",
                    f"{line['val_top_5_error']:.2%}",
                ]
            )
    if result and opened:
        run = result.runs[0]
        for views, tally in result.tallies.items():
            shares = [share.text for share in (tally.top_1, tally.top_5)]
            where = f"{run['checkpoint']} checkpoint, epoch {run['epoch']}"
            rows.append([f"evaluated: {where}", str(views), *shares])
        reason = published.incomparable(opened.data, opened.settings.split)
        if reason:
            notes.append(f"No published result stands here: {reason}.")
        else:
            for views in result.tallies:
                for one in published.beside(1, views):
                    errors = [f"{one.top_1_error:.2%}", f"{one.top_5_error:.2%}"]
                    rows.append([f"published: {one.name}", str(views), *errors])
        if opened.data.num_classes <= 5:
            notes.append(
                f"With {opened.data.num_classes} classes every answer is among the best 5."
            )
    if not rows:
        rows.append(["nothing yet", "", "", ""])
    return table(["", "views", "top-1 error", "top-5 error"], rows, " nnn"), notes


def curves_and_epochs(history: History) -> dict[str, Any]:
    """The curves as a picture, the rate's cuts in words, and a table of epochs."""
    cuts = [
        f"from {cut.before:g} to {cut.after:g} after step {cut.step:,}"
        + (f" (epoch {cut.epoch:g})" if cut.epoch is not None else "")
        for cut in history.rate_cuts()
    ]
    heads = ["epoch", "step", "rate", "loss", "top-1", "validation loss", "top-1", "top-5"]
    rows = []
    for line in history.epochs:
        validated = "val_top_1_error" in line
        rows.append(
            [
                line["epoch"],
                f"{line['step']:,}",
                f"{line['learning_rate']:g}",
                f"{line['loss']:.4f}",
                f"{line['top_1_error']:.2%}",
                f"{line['val_loss']:.4f}" if validated else "",
                f"{line['val_top_1_error']:.2%}" if validated else "",
                f"{line['val_top_5_error']:.2%}" if validated else "",
            ]
        )
    picture = inline(plots.svg(curves.draw({"run": history})), "svg+xml") if history.lines else ""
    return {"curves": picture, "cuts": ", ".join(cuts), "epochs": table(heads, rows, "n" * 8)}


def kernels(weights: dict[str, np.ndarray]) -> dict[str, Any] | None:
    """The kernels of the first layer; None where it is not a convolution of RGB."""
    layer, columns = kernel_pictures.first_kernels(weights)
    if not columns:
        return None
    shown = []
    for number, (values, shades) in enumerate(
        zip(columns, kernel_pictures.shades(columns), strict=True)
    ):
        score = float(kernel_pictures.color_scores(values).mean())
        which = f"column {COLUMN_LETTERS[number]}, " if len(columns) > 1 else ""
        side, _, _, count = values.shape
        shown.append(
            {
                "picture": inline(_png(kernel_pictures.grid(shades)), "png"),
                "words": f"{which}{count} kernels of {side}×{side}×3, colour score {score:.2f}",
            }
        )
    chance = f"{kernel_pictures.CHANCE_COLOR_SCORE:.2f}"
    return {"layer": layer, "columns": shown, "chance": chance}


def analysis(opened: ensemble.Opened, result: results.Result) -> dict[str, Any]:
    """Confusion, classes, calibration and mistakes of an evaluated checkpoint."""
    data, tally = opened.data, result.tally
    classes = results.per_class(opened, result)
    titles = data.class_titles
    pairs = [
        [
            titles[p.label],
            titles[p.guess],
            f"{p.number:,} of {p.count:,}",
            f"{p.number / p.count:.1%}",
        ]
        for p in tally.most_confused(PAIRS)
    ]
    shown = contact_sheet.look_up(data, opened.settings.split, tally.mistakes)
    mistakes = [
        {
            "picture": inline(contact_sheet.jpeg(one.pixels), "jpeg"),
            "title": titles[one.mistake.label],
            "guesses": [
                f"{p:.0%} {titles[guess]}" for guess, p in contact_sheet.guesses(one.mistake)
            ],
            "file_name": one.file_name,
        }
        for one in shown
    ]
    run = result.runs[0]
    return {
        "words": f"{run['checkpoint'].capitalize()} checkpoint (epoch {run['epoch']}, step "
        f"{run['step']:,}) on the {tally.count:,} images of the {opened.settings.split} split, "
        f"{_views(result.views)}.",
        "confusion": inline(plots.png(charts.confusion(tally, titles)), "png"),
        "worst": inline(plots.png(charts.worst_classes(classes)), "png"),
        "pairs": table(["class", "taken for", "images", "share"], pairs, "  nn"),
        "calibration": inline(plots.svg(charts.calibration(tally)), "svg+xml")
        if results.is_softmax(opened)
        else "",
        "mistakes": mistakes,
    }


def layers(network: Table) -> tuple[dict[str, Any], str]:
    """The table of layers, and its totals in words."""
    rows = []
    summaries = summary.layers(network)
    for layer in summaries:
        column = "" if layer.column is None or network.num_columns == 1 else str(layer.column)
        rows.append(
            [
                layer.name,
                layer.title,
                ", ".join(layer.inputs),
                column,
                "×".join(map(str, layer.shape)),
                " + ".join("×".join(map(str, shape)) for shape in layer.kernels),
                f"{layer.parameters:,}" if layer.parameters else "",
                layer.receptive_field or "all",
            ]
        )
    heads = ["layer", "kind", "reads", "column", "output", "kernel", "parameters", "sees"]
    words = (
        f"{sum(layer.parameters for layer in summaries):,} parameters, "
        f"{sum(layer.neurons for layer in summaries):,} neurons (outputs of layers with weights), "
        f"input {network.input_size}×{network.input_size}. “Sees” is the side of the receptive "
        "field in pixels of the input."
    )
    return table(heads, rows, "   n  nn"), words


def recipe(config: ConfigDict) -> dict[str, Any]:
    """What differs from the defaults."""
    values = recipes.to_dict(config)
    plain = recipes.completed({"network": {"name": config.network.name}})
    hidden = {"name", "data_dir", "log.expected"}
    if not config.synthetic_data:
        # The dataset has the number, which stands under the data.
        hidden.add("num_classes")
    rows = [
        [one.key, _brief(one.new), _brief(one.old)]
        for one in recipes.differences(plain, values)
        if one.key not in hidden
    ]
    return table(["setting", "this run", "default"], rows or [["none", "", ""]])


def data(facts: dataset.Dataset, place: str) -> dict[str, Any]:
    """What the training dataset is."""
    rows = [
        ["folder", place],
        ["classes", f"{facts.num_classes:,}: {_some(facts.class_titles)}"],
        ["images", f"{facts.image_size}×{facts.image_size} pixels, stored as {facts.store}"],
    ]
    for name, split in facts.splits.items():
        counts = [count for count in split.class_counts if count]
        per_class = f"{min(counts):,} to {max(counts):,} per class" if counts else "none"
        if counts and min(counts) == max(counts):
            per_class = f"{counts[0]:,} per class"
        words = f"{split.count:,} images, {per_class}"
        if split.skipped:
            words += f"; {len(split.skipped):,} skipped when converting"
        rows.append([name, words])
    mean = ", ".join(f"{value:.2f}" for value in facts.channel_mean)
    deviations = ", ".join(f"{value:.2f}" for value in facts.pca_standard_deviations)
    rows.append(["mean RGB", mean])
    rows.append(["standard deviations of the RGB components", deviations])
    return table(["", ""], rows)


def environment(entries: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Where the run was computed; a row for each start."""
    rows = []
    for entry in entries:
        packages = ", ".join(f"{k} {v}" for k, v in entry.get("packages", {}).items())
        gpus = ", ".join(entry.get("gpus", [])) or "no GPU"
        machine = f"{entry.get('processor', '')}, {entry.get('cores', '')} cores; {gpus}"
        code = entry.get("alexnet_tf", "")
        if entry.get("commit"):
            code += f", commit {entry['commit']}"
        rows.append(
            [
                str(entry.get("started", "")).replace("T", " "),
                entry.get("step", ""),
                entry.get("computes_on", ""),
                machine,
                f"Python {entry.get('python', '')}, {packages}; {entry.get('system', '')}",
                code,
            ]
        )
    heads = ["started", "at step", "computes on", "machine", "software", "alexnet-tf"]
    return table(heads, rows, " n")


def mean_image(facts: dataset.Dataset) -> str:
    """The mean image as a data URL; empty where its file is not there."""
    if not os.path.isfile(Path(facts.directory) / dataset.MEAN_IMAGE_FILE):
        return ""
    return inline(_png(np.clip(np.rint(facts.mean_image()), 0, 255).astype(np.uint8)), "png")


def _png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def _views(views: int) -> str:
    return "1 view" if views == 1 else f"{views} views"


def _some(titles: Sequence[str], most: int = 12) -> str:
    short: Callable[[str], str] = charts.shorten
    text = ", ".join(short(title) for title in titles[:most])
    return text + (f" and {len(titles) - most:,} more" if len(titles) > most else "")


def _brief(value: Any) -> str:
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 120 else text[:119] + "…"
