"""The page of --help: as wide as the terminal, commands ready to be copied."""

import shlex

from absl import flags

from alexnet_common import help_page

DOC = """Does a thing with files that have long names, as wide as anything in this project goes.

Example:
  python -m package.command --first=one --second=two --third=three -- --fourth=four \\
      --fifth='5 6'

kinds      of things in two columns, whose second one is too long for a line of a terminal of
           eighty
others     short

  first    indented, and also too long for a line of a terminal of eighty columns, whose
           second line is its own
  second   short
"""


def page(columns: int) -> str:
    values = flags.FlagValues()
    flags.DEFINE_enum("kind", "a", ["a", "b"], "Which one.", flag_values=values)
    flags.DEFINE_multi_string("name", [], "A name.", flag_values=values)
    flags.DEFINE_integer("count", 0, "How many " + "of them " * 12 + "there are.", 0, 9, values)
    flags.DEFINE_bool("on", True, "Whether.", short_name="o", flag_values=values)
    return help_page.text(values, DOC, columns)


def test_no_line_is_wider_than_asked() -> None:
    for columns in (80, 100):
        widths = [len(line) for line in page(columns).splitlines()]
        assert columns - 20 <= max(widths) <= columns
    assert page(500) == page(help_page.MAX_COLUMNS)


def test_words_are_those_of_the_docstring() -> None:
    """But for the ends of lines within a command."""
    expected = DOC.replace("\\\n", "").split()
    for columns in (50, 80):
        words = page(columns).partition("Flags:")[0].replace("\\\n", "").split()
        assert words == expected


def test_a_broken_command_is_the_same_to_a_shell() -> None:
    lines = page(60).splitlines()
    begin = next(n for n, line in enumerate(lines) if "python -m" in line)
    end = lines.index("", begin)
    assert end - begin > 2
    # A shell takes a backslash and the end of the line after it away.
    assert shlex.split("\n".join(lines[begin:end]).replace("\\\n", "")) == [
        "python", "-m", "package.command", "--first=one", "--second=two", "--third=three", "--",
        "--fourth=four", "--fifth=5 6",
    ]  # fmt: skip


def test_lists_keep_their_columns() -> None:
    lines = page(60).splitlines()
    for name in ("kinds", "  first"):
        place = next(n for n, line in enumerate(lines) if line.startswith(name))
        assert lines[place + 1].startswith(" " * 11) and lines[place + 1][11] != " "
    assert "others     short" in lines and "  second   short" in lines


def test_flags_with_choices_defaults_and_several_values() -> None:
    text = page(80)
    assert "  --kind: <a|b> Which one. [default: a]\n" in text
    assert "  --name: A name (may be given several times)\n" in text
    assert text.endswith("  --on: Whether. [default: true]")
    assert "[default: 0]" in text and "--o:" not in text
    count = text[text.index("  --count") : text.index("  --kind")].splitlines()
    assert len(count) == 2 and count[1].startswith("      ")
