"""The page of differences is the recipes' own, and says what the reference says of them."""

from alexnet_common import command
from tools import fidelity, generated_page


def call(*arguments):
    define_flags, main = generated_page.define_flags, fidelity.main
    return command.call(define_flags, main, fidelity.__doc__, list(arguments))


def test_the_page_in_the_docs_is_of_today(repository):
    assert call(f"--check={repository / 'docs' / 'fidelity.md'}") == 0


def test_a_changed_page_fails_the_check(tmp_path, capsys):
    path = tmp_path / "fidelity.md"
    path.write_text(fidelity.page().replace("60,965,224", "60,965,225"))
    assert call(f"--check={path}") == 1
    assert "out of date" in capsys.readouterr().err


def test_known_differences_are_in_it():
    """The 2012 files: alpha over n, biases at twice the rate, conv3-5 at 0.03; in Caffe, k = 1."""
    rows = {
        line.split("|")[1].strip().split("`")[-2]: [cell.strip() for cell in line.split("|")[2:-1]]
        for line in fidelity.page().splitlines()
        if line.startswith("| ") and "(`" in line
    }
    assert rows["network.lrn_k"][:3] == ["2", "2", "1"]
    assert rows["network.lrn_alpha_over_size"][:3] == ["no", "yes", "yes"]
    assert rows["network.bias_learning_rate_multiplier"][:3] == ["1", "2", "2"]
    assert rows["network.init_stddevs"][1].startswith("0.01, 0.01, 0.03, 0.03, 0.03")
    assert rows["preprocess.color_noise"][:2] == ["paper", "code2012"]
