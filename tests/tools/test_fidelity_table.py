"""The table of differences says what alexnet.md's tables say."""

from alexnet_tf import recipes
from tools import fidelity_table


def loaded():
    return {name: recipes.load(name) for name in fidelity_table.PROFILES}


def test_known_differences_are_found():
    found = dict(fidelity_table.differences(loaded()))
    # alexnet.md 1.3 and 1.5.
    assert list(found["network.lrn_k"].values()) == [2.0, 2.0, 1.0, 2.0]
    alpha = found["network.lrn_alpha_over_size"]
    assert [alpha[name] for name in fidelity_table.PROFILES[:3]] == [False, True, True]
    stddevs = found["network.init_stddevs"]
    assert stddevs["alexnet_code2012"][2:5] == (0.03,) * 3
    assert stddevs["alexnet_caffe"][5:7] == (0.005,) * 2
    assert found["network.bias_learning_rate_multiplier"]["alexnet_code2012"] == 2
    assert found["network.input_size"]["alexnet_caffe"] == 227
    assert found["preprocess.color_noise"]["alexnet_code2012"] == "code2012"
    assert "network.pool_size" not in found


def test_markdown_has_a_row_per_difference_and_no_raw_python():
    text = fidelity_table.markdown(loaded())
    lines = text.splitlines()
    assert len(lines) == 3 + len(fidelity_table.differences(loaded()))
    assert len({line.count("|") for line in lines}) == 1
    assert "| Parameters | 60,965,224 | 60,965,224 | 60,965,224 | 61,100,840 |" in lines
    assert "True" not in text and "()" not in text
    same = {name: recipes.load("alexnet_paper") for name in ("a", "b")}
    assert fidelity_table.differences(same) == []
