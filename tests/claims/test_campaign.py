"""How a campaign shares out its work, with workers that only pretend to train."""

from __future__ import annotations

import dataclasses
import json
import time
from concurrent.futures import Future
from pathlib import Path

import pytest

from alexnet_tf.claims import ledger, workers
from alexnet_tf.claims.budgets import budgets
from alexnet_tf.claims.claim import Arm, Claim
from alexnet_tf.claims.rules import PairedDifference
from alexnet_tf.claims.running import Campaign
from alexnet_tf.claims.trials import Trial, make

PLACE = {"commit": "abc", "hardware": "none", "time": "2026-01-02T03:04:05+00:00"}


class Pretends:
    """Writes the metrics that a run would, with an error that a function of the trial gives."""

    def __init__(self, error, outcome=lambda trial: "finished"):
        self.error, self.outcome, self.trained = error, outcome, []

    def train(self, trial, log_file, until):
        self.trained.append(trial)
        word = self.outcome(trial)
        if word == "finished":
            trial.folder.mkdir(parents=True, exist_ok=True)
            error = self.error(dict(trial.overrides))
            line = {"kind": "epoch", "top_1_error": error, "val_top_1_error": error}
            (trial.folder / "metrics.jsonl").write_text(json.dumps(line) + "\n")
        return self.done((word, "why"))

    def measure(self, name, folders, data_dir):
        (folder,) = folders
        line = json.loads((folder / "metrics.jsonl").read_text())
        return self.done(line["val_top_1_error"])

    def ask_to_stop(self):
        pass

    def stop(self):
        pass

    @staticmethod
    def done(value):
        future = Future()
        future.set_result(value)
        return future


def claim(name="claim", grid=None, seeds=2):
    return Claim(
        name=name,
        section="0",
        sentence="A claim",
        number="none",
        recipe=name,
        arms=(Arm("with"), Arm("without", {"neuron": "tanh"}, grid=grid or {})),
        measure="validation_error",
        rule=PairedDifference("with", "without", worth=0.01),
        budgets=budgets(
            {"epochs": 1, "images": 10, "seeds": seeds},
            {"epochs": 1, "images": 10, "seeds": seeds},
            pilot_epochs=1,
        ),
    )


def campaign(tmp_path, claims, pretends, **more):
    return Campaign(
        claims, "laptop", 0, "data", tmp_path, pretends, circumstances=lambda: PLACE, **more
    )


def test_every_row_is_written_and_none_twice(tmp_path):
    pretends = Pretends(lambda s: 0.3 if "neuron" in s else 0.2 + s["seed"] / 8)
    assert campaign(tmp_path, [claim()], [pretends, pretends]).run() == []
    rows = ledger.read(tmp_path / ledger.FILE)
    found = {(row["arm"], row["seed"]): row["value"] for row in rows}
    assert found == {("with", 0): 0.2, ("with", 1): 0.325, ("without", 0): 0.3, ("without", 1): 0.3}
    assert len(rows) == 4 and len(pretends.trained) == 4
    again = Pretends(lambda s: 1.0)
    assert campaign(tmp_path, [claim()], [again]).run() == []
    assert ledger.read(tmp_path / ledger.FILE) == rows and again.trained == []


def test_a_grid_is_decided_by_pilots_and_an_edge_is_flagged(tmp_path):
    errors = {0.1: 0.5, 0.2: 0.4, 0.3: 0.3}
    pretends = Pretends(lambda s: errors.get(s.get("rate"), 0.2))
    item = claim(grid={"rate": (0.1, 0.2, 0.3)}, seeds=1)
    campaign(tmp_path, [item], [pretends]).run()
    rows = ledger.read(tmp_path / ledger.FILE)
    (row,) = [row for row in rows if row["arm"] == "without"]
    assert row["grid"]["settings"] == {"rate": 0.3}
    assert row["grid"]["at_the_edge"] is True
    assert [pilot["training_error"] for pilot in row["grid"]["pilots"]] == [0.5, 0.4, 0.3]


def test_diverged_runs_are_rows_and_failed_ones_are_not(tmp_path):
    def outcome(trial: Trial) -> str:
        if trial.recipe == "fails":
            return "failed"
        return "diverged" if "neuron" in dict(trial.overrides) else "finished"

    pretends = Pretends(lambda s: 0.2, outcome)
    failures = campaign(tmp_path, [claim("fails"), claim()], [pretends]).run()
    assert len(failures) == 4 and all("fails-" in words for words in failures)
    rows = ledger.read(tmp_path / ledger.FILE)
    assert {row["claim"] for row in rows} == {"claim"}
    assert {row["arm"]: (row["value"], row["outcome"]) for row in rows} == {
        "with": (0.2, "finished"),
        "without": (None, "diverged"),
    }


def test_only_an_inconclusive_claim_gets_the_seeds_of_further_looks(tmp_path):
    # Seeds 0 and 1 of the open claim point apart, the later ones do not.
    late = [0.1, 0.5] + [0.3001, 0.3002, 0.3003, 0.3] * 2

    def error(settings):
        if "neuron" not in settings:
            return 0.2
        return late[settings["seed"]] if settings.get("images") else 0.3

    clear = claim("clear")
    doubtful = dataclasses.replace(claim("doubtful"), arms=(
        Arm("with"), Arm("without", {"neuron": "tanh", "images": 1})
    ))  # fmt: skip
    pretends = Pretends(error)
    campaign(tmp_path, [clear, doubtful], [pretends], extend=True).run()
    seeds = {}
    for row in ledger.read(tmp_path / ledger.FILE):
        seeds.setdefault(row["claim"], set()).add(row["seed"])
    # Two pairs that are exactly alike have no spread: reproduced at the first look.
    assert seeds["clear"] == {0, 1}
    assert seeds["doubtful"] in ({0, 1, 2, 3}, set(range(8)))


def test_after_the_deadline_nothing_begins(tmp_path):
    pretends = Pretends(lambda s: 0.2)
    campaign(tmp_path, [claim()], [pretends], deadline=time.time() - 1).run()
    assert pretends.trained == [] and ledger.read(tmp_path / ledger.FILE) == []


def test_a_pretrained_arm_waits_for_the_run_that_it_begins_with(tmp_path):
    before = {"images": 9}
    item = dataclasses.replace(claim(seeds=1), arms=(
        Arm("with"), Arm("without", {"neuron": "tanh"}, pretrained=before)
    ))  # fmt: skip
    pretends = Pretends(lambda s: 0.2)
    campaign(tmp_path, [item], [pretends], pretraining_data_dir="others").run()
    assert len(ledger.read(tmp_path / ledger.FILE)) == 2
    found = [(dict(t.overrides), t.data_dir, t.folder) for t in pretends.trained]
    (first,) = [place for place, one in enumerate(found) if one[1] == "others"]
    (then,) = [place for place, one in enumerate(found) if "initial_weights" in one[0]]
    assert first < then
    assert found[first][0]["images"] == 9 and "images" not in found[then][0]
    assert found[then][0]["initial_weights"] == str(found[first][2])
    assert found[then][2] != found[first][2]


def test_where_the_run_before_diverges_the_row_does(tmp_path):
    item = dataclasses.replace(claim(seeds=1), arms=(Arm("with", pretrained={"a": 1}),))

    def outcome(trial: Trial) -> str:
        return "diverged" if trial.data_dir == "others" else "finished"

    pretends = Pretends(lambda s: 0.2, outcome)
    campaign(tmp_path, [item], [pretends], pretraining_data_dir="others").run()
    (row,) = ledger.read(tmp_path / ledger.FILE)
    assert (row["value"], row["outcome"]) == (None, "diverged")
    assert len(pretends.trained) == 1


def trial(recipe, seed, **more):
    return make(recipe, more, seed, "data", Path("root"))


def test_a_worker_goes_on_with_its_program_and_leaves_others_theirs():
    waiting = [trial("a", 1), trial("a", 2), trial("b", 0), trial("c", 0)]
    a, b, c = (trial(name, 9).program for name in "abc")
    choose = workers.choose
    assert choose(waiting, None, [], 10, {}) is waiting[0]
    assert choose(waiting, None, [a], 10, {}) is waiting[2]
    assert choose(waiting, b, [a, b], 10, {}) is waiting[2]
    assert choose(waiting, None, [a, b, c], 10, {}) is waiting[0]
    # What would not come to its end is not begun.
    assert choose(waiting, a, [], 10, {a: 11}) is waiting[2]
    assert choose(waiting, a, [], 10, {a: 11, b: 11, c: 11}) is None


def test_rates_seed_and_length_make_no_other_program():
    first = trial("a", 1, **{"learning_rate.initial": 0.1, "train_epochs": 3})
    assert first.program == trial("a", 2, **{"learning_rate.schedule": "cosine"}).program
    assert first.program != trial("a", 1, neuron="tanh").program
    assert first.folder != trial("a", 2).folder
    # Long runs wait for no other one's end.
    assert trial("a", 1, train_epochs=140).program != trial("a", 2, train_epochs=140).program


@pytest.mark.parametrize("name", ["finished", "diverged"])
def test_marks_of_earlier_campaigns_count(tmp_path, name):
    pretends = Pretends(lambda s: 0.2, lambda trial: name)
    campaign(tmp_path, [claim()], [pretends]).run()
    (tmp_path / ledger.FILE).unlink()
    again = Pretends(lambda s: 0.2)
    campaign(tmp_path, [claim()], [again]).run()
    assert again.trained == [] and len(ledger.read(tmp_path / ledger.FILE)) == 4
