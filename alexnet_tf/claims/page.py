"""The ledger for people: docs/claims.md, and ledger.html with a plot per claim, from the rows."""

from __future__ import annotations

import base64
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import jinja2

from alexnet_common import messages
from alexnet_tf.analysis import plots
from alexnet_tf.claims import imagenet, ledger
from alexnet_tf.claims.claim import Arm, Claim
from alexnet_tf.claims.measuring import MEASURES
from alexnet_tf.claims.verdict import Values, Verdict

Rows = Sequence[Mapping[str, Any]]

INTRODUCTION = """\
Each claim of the paper is one command, `python -m alexnet_tf.reproduce CLAIM`. Its arms are
recipes that differ in the settings named, trained with paired seeds; its rule was written before
its rows (where a condition came later, its confounders say so), and the verdict is computed from
them: *reproduced*, *contradicted* (the effect that would be worth the claim is excluded),
*inconclusive*, or *not run*. Looks at the data are fixed: at the planned number of seeds, at
twice, at four times as many; they share a level of 5%. The rules' own rates of false verdicts, by
simulation, stand in `tests/claims/test_rules.py`: at most 5% in all.

A verdict is about the comparison that was run, at the size it was run: at the budget `laptop`
most runs take half a minute, and no network is trained to its end. None of them is about
ImageNet. `tools/claims_on_gpu.sh` tries those on CIFAR-10 with one GPU in minutes.
"""


def markdown(claims: Mapping[str, Claim], rows: Rows) -> str:
    """The page docs/claims.md."""
    lines = [
        "# Claims",
        "",
        INTRODUCTION,
        "",
        "| claim | paper | verdict | effect |",
        "|---|---|---|---|",
    ]
    for claim in claims.values():
        budget, verdict = ledger.best_verdict(rows, claim)
        lines.append(
            f"| [{claim.name}](#{claim.name}) ({claim.section}) | {claim.number} | "
            f"**{verdict.word}**{'' if verdict.word == 'not run' else f', {budget}'} | "
            f"{verdict.reason} |"
        )
    for claim in claims.values():
        lines += ["", *_claim_lines(claim, rows)]
    seconds = sum(row.get("seconds", 0.0) for row in rows)
    if seconds:
        lines += ["", f"All runs above took {messages.duration(seconds)}, pilots left out."]
    lines += [
        "",
        "## ImageNet's own numbers: not run",
        "",
        imagenet.__doc__.split("\n\n", 1)[1].strip() if imagenet.__doc__ else "",
        "",
    ]
    for number in imagenet.NUMBERS:
        lines += [
            f"### {number.name}",
            "",
            f"{number.sentence} ({number.section}): **{number.number}**; {number.cost}.",
            "",
            "```",
            *number.commands,
            "```",
            "",
        ]
    return "\n".join(lines).rstrip() + "\n"


def _claim_lines(claim: Claim, rows: Rows) -> list[str]:
    lines = [
        f"## {claim.name}",
        "",
        f"{claim.sentence} (section {claim.section}; the paper: {claim.number}).",
        "",
        f"Measured: {MEASURES[claim.measure][0]}. Rule: {claim.rule.describe()}.",
        "",
    ]
    if claim.confounders:
        lines += [f"Confounders: {'; '.join(claim.confounders)}.", ""]
    if claim.not_tested:
        lines += [f"Not tested: {claim.not_tested}.", ""]
    for budget in ("laptop", "gpu"):
        values = ledger.values_of(rows, claim, budget)
        verdict = ledger.verdict_of(rows, claim, budget)
        planned = claim.budgets[budget]
        lines.append(
            f"- `{budget}` ({planned.cost}, {planned.seeds} seeds): **{verdict.word}**. "
            f"{verdict.reason}{_needs(verdict)}"
        )
        if values:
            lines += ["", "| arm | settings | by seed |", "|---|---|---|"]
            for arm in claim.arms:
                numbers = ", ".join(
                    _number(values[arm.name][seed]) for seed in sorted(values.get(arm.name, {}))
                )
                lines.append(f"| {arm.name} | {_settings(arm)} | {numbers} |")
            lines.append("")
            lines += _grid_lines(claim, budget, rows)
            lines += _where(claim, budget, rows)
    return lines


def _settings(arm: Arm) -> str:
    """How an arm differs from the claim's recipe."""
    parts = [f"{key}={value}" for key, value in arm.overrides.items()]
    parts += [f"from {share:.0%} on {what} {value:g}" for share, what, value in arm.diary]
    return ", ".join(parts) or "the recipe"


def _grid_lines(claim: Claim, budget: str, rows: Rows) -> list[str]:
    lines = []
    for arm in claim.arms:
        grids = [
            row["grid"]
            for row in rows
            if (row["claim"], row["budget"], row["arm"]) == (claim.name, budget, arm.name)
            and "grid" in row
        ]
        if grids:
            chosen = ", ".join(f"{key}={value}" for key, value in grids[-1]["settings"].items())
            edge = " **at the edge of its grid**" if grids[-1]["at_the_edge"] else ""
            lines += [f"{arm.name}: {chosen}, the best of its grid{edge}.", ""]
    return lines


def _where(claim: Claim, budget: str, rows: Rows) -> list[str]:
    of_claim = [row for row in rows if (row["claim"], row["budget"]) == (claim.name, budget)]
    places = sorted({f"{row['hardware']}, commit {row['commit']}" for row in of_claim})
    dates = sorted(row["time"][:10] for row in of_claim)
    seconds = sum(row.get("seconds", 0.0) for row in of_claim)
    time = f"; its runs took {messages.duration(seconds)}" if seconds else ""
    return [f"Run on {'; '.join(places)}; {dates[0]} to {dates[-1]}{time}.", ""]


def _needs(verdict: Verdict) -> str:
    if verdict.word != "inconclusive":
        return ""
    if verdict.seeds_needed:
        return f"; for an effect worth the claim it would take {verdict.seeds_needed} pairs"
    return ""


def _number(value: float | None) -> str:
    if value is None:
        return "diverged"
    return f"not in {-value:g}" if value < 0 and value == int(value) else f"{value:.4g}"


def plot(claim: Claim, values: Values) -> bytes:
    """Every row of a claim as a point, seeds joined by lines: a PNG."""
    with plots.style():
        figure = plots.figure(6, 3)
        axes = figure.subplots()
        names = [arm.name for arm in claim.arms]
        seeds = sorted({seed for arm in values.values() for seed in arm})
        for seed in seeds:
            points = [
                (place, abs(number))
                for place, name in enumerate(names)
                if (number := values.get(name, {}).get(seed)) is not None
            ]
            axes.plot(*zip(*points, strict=True), marker="o", label=f"seed {seed}")
        axes.set_xticks(range(len(names)), names)
        axes.set_ylabel(textwrap.fill(MEASURES[claim.measure][0], 34))
        axes.legend()
        return plots.png(figure)


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>Claims ledger</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 1rem auto; padding: 0 1rem }
table { border-collapse: collapse } td, th { text-align: left; padding: .2rem .6rem;
border-bottom: 1px solid #ddd } img { max-width: 100% }
.reproduced { color: #00734f } .contradicted { color: #a33b00 }
@media print { section { break-inside: avoid } }
</style></head><body><h1>Claims ledger</h1>
{% for paragraph in introduction.split("\n\n") %}<p>{{ paragraph }}</p>{% endfor %}
<table><tr><th>claim</th><th>paper</th><th>verdict</th></tr>
{% for item in items %}<tr><td><a href="#{{ item.claim.name }}">{{ item.claim.name }}</a></td>
<td>{{ item.claim.number }}</td>
<td class="{{ item.verdict.word }}">{{ item.verdict.word }}</td></tr>{% endfor %}</table>
{% for item in items %}<section id="{{ item.claim.name }}"><h2>{{ item.claim.name }}:
<span class="{{ item.verdict.word }}">{{ item.verdict.word }}</span></h2>
<p>{{ item.claim.sentence }} (section {{ item.claim.section }}; the paper: {{ item.claim.number }}).
</p><p>{{ item.verdict.reason }}</p>
{% if item.image %}<img alt="{{ item.claim.name }} by arm and seed" src="{{ item.image }}">
{% endif %}
<p>Rule: {{ item.claim.rule.describe() }}.
{% if item.claim.confounders %}Confounders: {{ item.claim.confounders | join("; ") }}.
{% endif %}</p></section>{% endfor %}
<h2>ImageNet's own numbers: not run</h2><table>
<tr><th>number</th><th>paper</th><th>cost</th></tr>
{% for number in numbers %}<tr><td>{{ number.sentence }}</td><td>{{ number.number }}</td>
<td>{{ number.cost }}</td></tr>{% endfor %}</table></body></html>
"""


def html(claims: Mapping[str, Claim], rows: Rows) -> str:
    """One file that needs nothing else: verdicts, a plot per claim, rules and confounders."""
    items = []
    for claim in claims.values():
        budget, verdict = ledger.best_verdict(rows, claim)
        values = ledger.values_of(rows, claim, budget)
        image = ""
        if any(number is not None for arm in values.values() for number in arm.values()):
            data = base64.b64encode(plot(claim, values)).decode()
            image = f"data:image/png;base64,{data}"
        items.append({"claim": claim, "verdict": verdict, "image": image})
    template = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(
        _PAGE
    )
    return template.render(items=items, introduction=INTRODUCTION, numbers=imagenet.NUMBERS)
