"""docs/settings.md is of today, and lists every key of every network."""

import re

from alexnet_common import command
from alexnet_tf.settings.catalog import SETTINGS
from alexnet_tf.tables import table
from tools import generated_page, settings


def call(*arguments):
    return command.call(
        generated_page.define_flags, settings.main, settings.__doc__, list(arguments)
    )


def test_the_page_in_the_docs_is_of_today(repository):
    assert call(f"--check={repository / 'docs' / 'settings.md'}") == 0


def test_a_changed_page_fails_the_check(tmp_path, capsys):
    path = tmp_path / "settings.md"
    path.write_text(settings.page().replace("`0.9`", "`0.8`", 1))
    assert call(f"--check={path}") == 1
    assert "python -m tools.settings --output=" in capsys.readouterr().err


def sections():
    """The page's headings with the text below each."""
    parts = re.split(r"^#+ (.*)\n", settings.page(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_every_key_has_a_row_in_its_section():
    found = sections()
    for key in SETTINGS:
        section, _, name = key.rpartition(".")
        if section in ("", "promised"):
            assert f"| `{key}` |" in found["The run"]
        else:
            assert f"| `{name}` |" in found[section]


def test_every_option_of_a_network_has_a_row():
    """But those of definition files, which have a page of their own."""
    found = sections()
    for name in set(table.RECIPES) - {"cuda_convnet"}:
        text = found[f"network.name={name}"]
        for option in set(table.options(name)) - {"name"}:
            assert f"`{option}`" in text, f"{name}.{option}"


def test_rows_are_tables():
    """A bar within a cell, as in |w|, would split it."""
    for text in sections().values():
        rows = [line for line in text.splitlines() if line.startswith("|")]
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in rows}) <= 1


def test_a_docstrings_arguments():
    doc = """Summary: of it.

    Args:
        one, two: first line
            and second.
        three: alone.

    Raises:
        ValueError: never.
    """
    assert settings.documented(doc) == [
        (["one", "two"], "first line and second."),
        (["three"], "alone."),
    ]
