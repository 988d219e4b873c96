"""Measures of runs, rows of the ledger, the pages made of them, and the claims as they stand."""

from __future__ import annotations

import json

import pytest
from absl import flags

from alexnet_common.errors import UsageError, UserError
from alexnet_tf import recipes, reproduce
from alexnet_tf.claims import claim as catalogue
from alexnet_tf.claims import imagenet, ledger, measuring, page, trials
from alexnet_tf.tables import table

CLAIMS = catalogue.load_all()
FLAGS = flags.FlagValues()
reproduce.define_flags(FLAGS)
# What the command offers, each claim has.
BUDGETS = FLAGS["budget"].parser.enum_values
PLACE = {"commit": "abc", "hardware": "2 CPU cores, X", "time": "2026-01-02T03:04:05+00:00"}


def row(claim, arm, seed, value, budget="laptop"):
    return {"claim": claim, "arm": arm, "seed": seed, "value": value, "budget": budget, **PLACE}


def metrics(folder, *lines):
    folder.mkdir()
    text = "".join(json.dumps({"kind": "epoch"} | line) + "\n" for line in lines)
    (folder / "metrics.jsonl").write_text('{"kind": "train", "loss": 9}\n' + text)
    return folder


def test_measures_take_their_number_from_the_epochs(tmp_path):
    first = metrics(
        tmp_path / "a",
        {"loss": 2.0, "top_1_error": 0.8, "val_top_1_error": 0.7},
        {"loss": 1.0, "top_1_error": 0.3, "val_top_1_error": 0.4},
    )
    second = metrics(tmp_path / "b", {"loss": 3.0, "top_1_error": 0.5, "val_top_1_error": 0.6})
    measure = {name: function for name, (_, function) in measuring.MEASURES.items()}
    assert measure["validation_error"]([first], "") == 0.4
    assert measure["training_error"]([first], "") == 0.3
    assert measure["gap"]([first], "") == pytest.approx(0.1)
    assert measure["mean_loss"]([first], "") == 1.5
    assert measure["accuracy"]([first], "") == pytest.approx(0.6)
    assert measure["validation_error"]([first, second], "") == pytest.approx(0.5)
    assert measure["validation_error"]([tmp_path / "nothing"], "") is None


def test_epochs_until_a_threshold_are_interpolated_or_censored():
    # .40 -> .20 crosses .25 three quarters of the way through the third epoch.
    assert measuring.epochs_until([0.6, 0.4, 0.2], 0.25) == pytest.approx(2.75)
    assert measuring.epochs_until([0.6, 0.4, 0.3], 0.25) == -3
    assert measuring.epochs_until([0.1], 0.25) == pytest.approx(0.75 / 0.9)


def test_rows_survive_a_half_written_last_line_but_no_damage_before(tmp_path):
    path = tmp_path / "ledger.jsonl"
    ledger.append(path, {"a": 1})
    ledger.append(path, {"a": 2})
    with path.open("a") as file:
        file.write('{"a": 3')
    assert ledger.read(path) == [{"a": 1}, {"a": 2}]
    # The next row takes the place of what was not written to its end.
    ledger.append(path, {"a": 4})
    assert ledger.read(path) == [{"a": 1}, {"a": 2}, {"a": 4}]
    path.write_text('{"a": 1}')
    ledger.append(path, {"a": 2})
    assert path.read_text() == '{"a": 1}\n{"a": 2}\n'
    path.write_text('{"a": 1')
    ledger.append(path, {"a": 2})
    assert path.read_text() == '{"a": 2}\n'
    path.write_text('{"a": 1\n{"a": 2}\n')
    with pytest.raises(UserError, match="ledger.jsonl:1: damaged"):
        ledger.read(path)


def test_smoke_rows_make_no_verdict_and_the_larger_budget_speaks():
    claim = CLAIMS["overlap"]
    smoke = [row("overlap", arm.name, seed, 0.5, "smoke") for arm in claim.arms for seed in (0, 1)]
    assert ledger.verdict_of(smoke, claim, "smoke").word == "not run"
    assert ledger.best_verdict(smoke, claim)[1].word == "not run"
    rows = [row("overlap", "overlapping", seed, 0.30 + seed / 1000) for seed in range(3)]
    rows += [row("overlap", "side_by_side", seed, 0.33 + seed / 999) for seed in range(3)]
    assert ledger.best_verdict(smoke + rows, claim)[0] == "laptop"
    assert ledger.best_verdict(rows, claim)[1].word == "reproduced"


def test_the_pages_say_what_the_rows_say():
    rows = [row("overlap", "overlapping", seed, 0.30 + seed / 1000) for seed in range(3)]
    rows += [row("overlap", "side_by_side", seed, 0.33 + seed / 999) for seed in range(3)]
    text = page.markdown(CLAIMS, rows)
    assert "| [overlap](#overlap) (3.4) | 0.4 / 0.3 points | **reproduced**, laptop |" in text
    assert "| [dropout](#dropout) (4.2)" in text and "**not run**" in text
    assert "commit abc; 2026-01-02 to 2026-01-02" in text
    assert "40.7 / 18.2" in text and "about 5 hours on one H200" in text
    html = page.html(CLAIMS, rows)
    assert html.count("data:image/png;base64,") == 1
    assert "http" not in html


def test_the_page_in_the_docs_is_made_from_the_committed_rows(repository):
    rows = ledger.read(repository / "docs" / "claims" / "ledger.jsonl")
    assert (repository / "docs" / "claims.md").read_text() == page.markdown(CLAIMS, rows)


def test_a_driver_that_does_not_answer_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(ledger, "_ANSWER_SECONDS", 0.2)
    assert ledger._output("sh", "-c", "echo a card; exec sleep 20") == ""
    monkeypatch.undo()
    assert ledger._output("sh", "-c", "echo a card") == "a card"


def test_a_misspelt_claim_names_its_neighbour():
    with pytest.raises(UsageError, match="did you mean dropout"):
        catalogue.load("dropuot")


@pytest.mark.parametrize("name", CLAIMS)
def test_each_claim_is_whole(name):
    claim = CLAIMS[name]
    assert set(claim.budgets) == set(BUDGETS)
    arms = {arm.name for arm in claim.arms}
    assert len(arms) == len(claim.arms)
    words = claim.rule.describe()
    assert sum(arm in words for arm in arms) >= min(2, len(arms))
    for arm in claim.arms:
        assert (arm.measure or claim.measure) in measuring.MEASURES
        for budget in BUDGETS:
            for point in trials.grid_points(arm) or [{}]:
                settings = {**claim.budgets[budget].overrides, **arm.overrides, **point}
                texts = [(key, trials.text_of(value)) for key, value in settings.items()]
                config = recipes.resolve(recipes.load(claim.recipe), texts)
                for key, value in settings.items():
                    section = config
                    for part in key.split("."):
                        section = section[part]
                    assert section == value or list(section) == list(value)


def test_arms_of_the_columns_differ_in_what_they_say():
    def network(name):
        claim = CLAIMS["columns"]
        (arm,) = (arm for arm in claim.arms if arm.name == name)
        texts = [(key, trials.text_of(value)) for key, value in arm.overrides.items()]
        config = recipes.resolve(recipes.load(claim.recipe), texts)
        return table.from_config(config.network, 10)

    meeting, apart, ungrouped = map(network, ("meeting", "apart", "ungrouped"))
    assert meeting.row("conv3a").inputs == ("pool2a", "pool2b")
    assert apart.row("conv3a").inputs == ("pool2a",)
    assert ungrouped.num_columns == 1


def test_trials_share_what_they_have_in_common(tmp_path):
    dropout, crops = CLAIMS["dropout"], CLAIMS["crops_flips"]
    same = [
        trials.of_arm(claim, claim.arms[0], "laptop", 1, "data", tmp_path)[0].folder
        for claim in (dropout, crops)
    ]
    assert same[0] == same[1]
    other = trials.of_arm(dropout, dropout.arms[1], "laptop", 1, "data", tmp_path)[0].folder
    assert other != same[0]
    ensemble = CLAIMS["ensemble"]
    members = trials.of_arm(ensemble, ensemble.arms[0], "laptop", 1, "data", tmp_path)
    assert [dict(trial.overrides)["seed"] for trial in members] == [5, 6, 7, 8, 9]


def test_a_manual_schedule_is_stretched_over_the_run(tmp_path):
    """Run 145 dropped its rate after 25, 51 and 79 of 91 epochs (docs/fidelity.md)."""
    claim = CLAIMS["schedules"]
    (arm,) = (arm for arm in claim.arms if arm.diary)
    whole = {"train_epochs": 91, "learning_rate.drop_epochs": ()}
    (trial,) = trials.of_arm(claim, arm, "laptop", 0, "data", tmp_path, whole)
    settings = dict(trial.overrides)
    assert settings["learning_rate.schedule"] == "diary"
    assert settings["learning_rate.diary"] == recipes.load("default").learning_rate.diary
    noise = CLAIMS["color_noise"]
    (arm,) = (arm for arm in noise.arms if arm.diary)
    for budget, drops in (("laptop", (37, 45)), ("gpu", (15, 18))):
        (trial,) = trials.of_arm(noise, arm, budget, 0, "data", tmp_path)
        (steps,) = trials.of_arm(noise, noise.arms[0], budget, 0, "data", tmp_path)
        rates = [e for e, what, _ in dict(trial.overrides)["learning_rate.diary"] if what == "rate"]
        assert tuple(rates) == dict(steps.overrides)["learning_rate.drop_epochs"] == drops


def test_an_optimum_at_the_edge_of_its_grid_is_flagged():
    (relu, _) = CLAIMS["relu"].arms
    assert trials.at_the_edge(relu, {"learning_rate.initial": 0.001})
    assert not trials.at_the_edge(relu, {"learning_rate.initial": 0.004})


def test_imagenets_numbers_have_commands_that_name_recipes(repository):
    for number in imagenet.NUMBERS:
        words = [word for line in number.commands for word in line.split()]
        named = [word.removeprefix("--config=") for word in words if word.startswith("--config=")]
        assert [name for name in named if not (repository / name).is_file()] == []
        assert bool(named) == ("alexnet_tf.train" in words)
