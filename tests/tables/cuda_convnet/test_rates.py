"""Rates and schedules that parameter files and their notations mean."""

import pytest

from alexnet_tf.tables.cuda_convnet import ini, reader
from alexnet_tf.tables.rows import TableError
from tests.tables.cuda_convnet.definitions import CONV, SMALL, small, write


def test_a_last_state_is_not_where_training_begins(files):
    net = reader.read(*files("145"), base_rate=0.01)
    conv1 = net.row("conv1a")
    assert conv1.kernels[0].learning_rate_multiplier == 1.0
    assert conv1.bias.learning_rate_multiplier == 2.0
    assert any("begins with 0.01 for weights and 0.02 for biases" in note for note in net.notes)
    as_filed = reader.read(*files("145"), rates="file", base_rate=1e-5)
    assert as_filed.row("conv1a").kernels[0].learning_rate_multiplier == 0
    assert as_filed.row("conv3a").kernels[1].learning_rate_multiplier == pytest.approx(1)
    assert as_filed.row("conv3a").bias.learning_rate_multiplier == pytest.approx(2000)


def test_the_examples_files_hold_their_own_start(files):
    net = reader.read(*files("80sec"), base_rate=0.001)
    assert net.row("conv2").kernels[0].learning_rate_multiplier == pytest.approx(1)
    assert net.row("fc10").bias.learning_rate_multiplier == pytest.approx(2)
    assert net.row("fc10").kernels[0].weight_decay == 0.03
    assert net.row("fc10").kernels[0].momentum == 0.9
    # The file says 0.001 throughout; the log would speak of the run's own 0.01 alone.
    notes = "\n".join(reader.read(*files("80sec"), base_rate=0.01).notes)
    assert "the parameter file's rates, up to 0.001 for weights" in notes
    assert "the rate in the log begins at 0.01 and stands for them" in notes


def test_old_schedules_are_read_tolerantly_and_refused_strictly(files):
    net = reader.read(*files("167"))
    kernel = net.row("conv2a").kernels[0]
    assert (kernel.schedule.kind, kernel.schedule.target, kernel.schedule.steps) == (
        "dexp",
        1000,
        4,
    )
    assert net.row("conv2a").bias.schedule.steps == 2
    # conv1 was frozen late in the run: a new one begins like the others.
    assert net.row("conv1a").kernels[0].learning_rate_multiplier == 1
    with pytest.raises(ini.DefinitionError, match=r"layer-params-167.cfg:8: \[conv1a\] schedW"):
        reader.read(*files("167"), strict=True)


def test_jumping_schedules_of_two_runs_meant_the_rate_before(tmp_path):
    params = "[fc]\nepsW=0.01\nepsB=0.02\nmomW=0.9\nmomB=0.9\nschedW=jdexp[250,4]\n"
    params += "[logprob]\ncoeff=1\n"
    rates = {}
    for run in (172, 174):
        path = write(tmp_path, params, f"layer-params-{run}.cfg")
        kernel = small(tmp_path, layer_params=path).row("fc").kernels[0]
        rates[run] = kernel.schedule.rate(0.01, 0.4)
    assert rates == pytest.approx({172: 0.01, 174: 0.00398422}, rel=1e-5)


FC = "[fc]\nepsW=0.01\nepsB=0.02\nmomW=0.9\nmomB=0.8\n{more}[logprob]\ncoeff=1\n"


def settings(tmp_path, more, **options):
    path = write(tmp_path, FC.format(more=more), "layer-params-x.cfg")
    return small(tmp_path, layer_params=path, **options).row("fc")


@pytest.mark.parametrize("key", ["epsW", "epsB", "momW", "momB"])
def test_rates_and_momenta_are_required(tmp_path, key):
    lines = [line for line in FC.format(more="").split("\n") if not line.startswith(key)]
    path = write(tmp_path, "\n".join(lines), "layer-params-x.cfg")
    with pytest.raises(ini.DefinitionError, match=rf"\[fc\] {key}: is missing"):
        small(tmp_path, layer_params=path)


def test_defaults_of_what_is_optional(tmp_path):
    row = settings(tmp_path, "")
    kernel = row.kernels[0]
    assert (kernel.weight_decay, kernel.norm_ball, kernel.schedule) == (0, 0, None)
    assert (kernel.momentum, row.bias.momentum) == (0.9, 0.8)
    row = settings(tmp_path, "wc=0.5\nwball=0.25\nsuperMom=7\nwcNorm=7\nschedW=default\n")
    assert (row.kernels[0].weight_decay, row.kernels[0].norm_ball) == (0.5, 0.25)
    assert row.kernels[0].schedule is None
    # Decay and limits are those of weights.
    assert row.bias.weight_decay == 0


def test_one_key_of_the_oldest_notation_serves_weights_and_biases(tmp_path):
    row = settings(tmp_path, "sched=exp[250]\n")
    assert row.kernels[0].schedule == row.bias.schedule
    assert row.bias.schedule.rate(0.02, 1.0) == pytest.approx(0.02 / 250)
    row = settings(tmp_path, "sched=exp[250]\nschedW=linear[10]\n")
    assert row.kernels[0].schedule.kind == "linear" and row.bias.schedule.kind == "exp"


def test_the_oldest_notation_is_strictly_no_schedule(tmp_path):
    path = write(tmp_path, FC.format(more="sched=exp[250]\n"), "layer-params-x.cfg")
    text = SMALL.format(middle="", top="data", init="0.1")
    text = text.replace("type=fc", "type=fc\ngpu=0").replace("[logprob]", "[logprob]\ngpu=0")
    layers = write(tmp_path, text)
    row = reader.read(layers, path, input_size=8, strict=True).row("fc")
    assert row.kernels[0].schedule is None and row.bias.schedule is None


def test_each_kernel_has_rates_of_its_own_and_a_rate_of_zero_freezes(tmp_path):
    path = write(
        tmp_path,
        FC.format(more="wc=0.1,0.2\n")
        .replace("epsW=0.01", "epsW=0.03,-1")
        .replace("momW=0.9", "momW=0.5,0.6"),
        "layer-params-x.cfg",
    )
    options = {"layer_params": path, "rates": "file", "base_rate": 0.01}
    row = small(tmp_path, top="data,data", init="0.1,0.2", **options).row("fc")
    first, second = row.kernels
    assert first.learning_rate_multiplier == pytest.approx(3)
    assert second.learning_rate_multiplier == 0
    assert [k.weight_decay for k in row.kernels] == [0.1, 0.2]
    assert [k.momentum for k in row.kernels] == [0.5, 0.6]
    assert [k.init_stddev for k in row.kernels] == [0.1, 0.2]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("superEps=0.1\n", "superEps=0.1: is not supported"),
        ("schedW=cosine[3]\n", "schedW=cosine.*: unknown schedule"),
        ("wc=0.1,0.2\n", "must have 1 value"),
        ("wc=-0.0005\n", r"cfg:\d+: \[fc\] wc=-0.0005: must be 0 or more"),
    ],
)
def test_wrong_settings_name_their_key(tmp_path, more, message):
    with pytest.raises(ini.DefinitionError, match=message):
        settings(tmp_path, more)


CONV_PARAMS = "[conv]\nepsW=0.01\nepsB=0.02\nmomW=0.9\nmomB=0.8\n{more}" + FC.format(more="")


def test_limits_on_filters_are_those_of_convolutions(tmp_path):
    # Section 4.1: "conv only: wcNormMin[], wcNormMax[] (def 0, min <= max)".
    def conv(more):
        path = write(tmp_path, CONV_PARAMS.format(more=more), "layer-params-x.cfg")
        return small(tmp_path, CONV, "conv", layer_params=path).row("conv").kernels[0].norm_range

    assert conv("") == (0, 0)
    assert conv("wcNormMin=0.001\nwcNormMax=0.002\n") == (0.001, 0.002)
    assert conv("wcNormMin=0\nwcNormMax=0\n") == (0, 0)
    with pytest.raises(ini.DefinitionError, match="wcNormMin=2: must not be above wcNormMax"):
        conv("wcNormMin=2\nwcNormMax=1\n")
    # What a fully connected layer does not know it ignores, as wrong as it may be.
    assert settings(tmp_path, "wcNormMin=2\nwcNormMax=1\n").kernels[0].norm_range == (0, 0)


def test_a_default_schedule_is_that_of_annealing_by_hand(tmp_path):
    # Section 4.5: `default` is b whatever the progress, so 4.6 holds: the file is the last state.
    for schedules, begins in (
        ("schedW=default\nschedB=Default\n", 1.0),
        ("schedW=exp[250]\nschedB=default\n", 0.1),
        ("schedB=exp[250]\n", 0.1),
    ):
        definition = "[x]\ntype=eltsum\ninputs=data\ngpu=0\n"
        path = write(
            tmp_path,
            FC.format(more=schedules).replace("epsW=0.01", "epsW=0.001"),
            "layer-params-x.cfg",
        )
        net = small(tmp_path, definition, "x", layer_params=path, base_rate=0.01)
        assert net.row("fc").kernels[0].learning_rate_multiplier == pytest.approx(begins)


def test_sections_of_other_nets_say_nothing_about_the_rates(tmp_path):
    # Section 1.7: unknown parameter sections are ignored, as wrong as they may be.
    definition = "[x]\ntype=eltsum\ninputs=data\ngpu=0\n"
    more = "schedW=exp[250]\n"
    for other in ("[y]\nepsW=what\n", "[y]\nepsW=7\nepsB=7\n", "[x]\nepsW=7\n"):
        text = FC.format(more=more).replace("epsW=0.01", "epsW=0.01,0") + other
        text = text.replace("momW=0.9", "momW=0.9,0.9")
        path = write(tmp_path, text, "layer-params-x.cfg")
        net = small(tmp_path, definition, "x,data", "0.1,0.1", layer_params=path, base_rate=0.01)
        # What was frozen begins with the highest rate of the net's own layers.
        multipliers = [k.learning_rate_multiplier for k in net.row("fc").kernels]
        assert multipliers == pytest.approx([1, 1])


def test_a_ball_below_zero_is_none(tmp_path):
    # Section 4.4: "Then `wball` if >0".
    assert settings(tmp_path, "wball=-1\n").kernels[0].norm_ball == 0


def test_an_unknown_mode_is_refused(tmp_path):
    with pytest.raises(TableError, match="rates must be one of auto, file, start"):
        settings(tmp_path, "", rates="files")
