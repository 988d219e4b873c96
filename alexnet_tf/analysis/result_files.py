"""The files of an analysis, beside its predictions: tables, figures, the summary."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterable, Sequence
from typing import Any

from alexnet_common import files
from alexnet_common.counting import counted
from alexnet_tf.analysis import charts, contact_sheet, plots, results
from alexnet_tf.evaluation import ensemble

SUMMARY = "summary.json"


def write(folder: str, opened: ensemble.Opened, result: results.Result) -> None:
    """Writes a result's files to `folder`; the summary last, so that with it all are there.

    per_class.csv, worst_classes.png, confusion.csv, confusion.png, most_confused.csv,
    calibration.png (of probabilities), mistakes.png (if there is one) and summary.json.

    Raises:
        OSError: a file cannot be written.
    """
    data, tally = opened.data, result.tally
    classes = results.per_class(opened, result)
    summary = results.summary(opened, result)

    def put(name: str, content: bytes) -> None:
        files.write_atomically(os.path.join(folder, name), content)

    put("per_class.csv", table([list(classes[0]), *(row.values() for row in classes)]))
    put("worst_classes.png", plots.png(charts.worst_classes(classes)))
    head = ["class", *data.class_names]
    body = ([n, *map(int, row)] for n, row in zip(data.class_names, tally.confusion, strict=True))
    put("confusion.csv", table([head, *body]))
    put("confusion.png", plots.png(charts.confusion(tally, data.class_titles)))
    pairs = tally.most_confused(tally.confusion.size)
    put(
        "most_confused.csv",
        table(
            [
                ["class", "taken_for", "number", "of"],
                *(
                    [data.class_names[p.label], data.class_names[p.guess], p.number, p.count]
                    for p in pairs
                ),
            ]
        ),
    )
    if results.is_softmax(opened):
        put("calibration.png", plots.png(charts.calibration(tally)))
    shown = contact_sheet.look_up(data, opened.settings.split, tally.mistakes)
    if shown:
        put("mistakes.png", plots.png(contact_sheet.draw(shown, data.class_titles)))
    put(SUMMARY, (json.dumps(summary, indent=2) + "\n").encode())


def table(rows: Iterable[Iterable[Any]]) -> bytes:
    """Rows as a CSV file; None is an empty field."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode(errors="backslashreplace")


def text(summaries: Sequence[dict[str, Any]], names: Sequence[str]) -> str:
    """The errors of all results as a table for people."""
    first = summaries[0]
    lines = [
        f"{counted(first['count'], 'image')} of the {first['split']} split of {first['data_dir']}, "
        f"{counted(first['num_classes'], 'class', 'classes')}"
    ]
    if first["not_comparable"]:
        lines.append(f"({first['not_comparable']})")
    if first["num_classes"] <= 5:
        lines.append(f"(with {first['num_classes']} classes every answer is among the best 5)")
    rows = []
    for name, summary in zip(names, summaries, strict=True):
        for views, errors in summary["errors"].items():
            shares = [_share(errors[f"top_{k}_error"]) for k in (1, 5)]
            rows.append([name, views, *shares])
    for row in first["published"] or []:
        shares = [f"{row[f'top_{k}_error']:.2%}" for k in (1, 5)]
        rows.append([row["name"], str(row["views"]), *shares])
    rows.insert(0, ["", "views", "top-1 error (95% interval)", "top-5 error (95% interval)"])
    return "\n".join(lines + aligned(rows))


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows as lines whose columns stand below one another."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _share(share: dict[str, Any]) -> str:
    return f"{share['share']:.2%} ({share['low']:.2%} to {share['high']:.2%})"
