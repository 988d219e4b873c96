"""Label files as people have them: from spreadsheets, from Kaggle, from the shell."""

import pathlib

import pytest

from alexnet_common.errors import UserError
from data_prep.sources import labels

NAMES = ["a.jpg", "b.jpg", "my photo.jpg", "x,y.jpg"]
EXPECTED = {"a.jpg": "cat", "b.jpg": "dog"}


@pytest.mark.parametrize(
    "text",
    [
        "a.jpg cat\nb.jpg dog\n",
        "\ufeffa.jpg cat\r\nb.jpg dog\r\n",
        "a.jpg,cat\rb.jpg,dog",
        "a.jpg\tcat\n\n\nb.jpg\tdog\n",
        "a.jpg;cat\nb.jpg;dog\n",
        '"a.jpg","cat"\n"b.jpg","dog"\n',
        "a.jpg,   cat\nb.jpg  ,dog\n",
        "filename,label\na.jpg,cat\nb.jpg,dog\n",
        "Image Class\na.jpg cat\nb.jpg dog\n",
        "image_name,label\na.jpg,cat\nb.jpg,dog\n",
        "Datei;Klasse\na.jpg;cat\nb.jpg;dog\n",
        "label,filename\ncat,a.jpg\ndog,val/b.jpg\n",
        "val\\a.jpg,cat\nD:\\set\\val\\b.jpg,dog\n",
        "val/a.jpg,cat\nval/b.jpg,dog\n",
        "a.jpg     cat\nb.jpg\t\tdog\n",
        "sep=;\na.jpg;cat\nb.jpg;dog\n",
        "a.jpg,cat,,\nb.jpg,dog,,\n",
    ],
)
def test_separators_quotes_marks_and_headers(tmp_path: pathlib.Path, text: str) -> None:
    path = tmp_path / "labels.txt"
    path.write_bytes(text.encode())
    assert labels.read(str(path), NAMES, None) == EXPECTED


@pytest.mark.parametrize(
    ("line", "name", "label"),
    [
        ("my photo.jpg,tabby cat", "my photo.jpg", "tabby cat"),
        ("my photo.jpg\ttabby cat", "my photo.jpg", "tabby cat"),
        ('"my photo.jpg" "tabby cat"', "my photo.jpg", "tabby cat"),
        ("my photo.jpg tabby cat", "my photo.jpg", "tabby cat"),
        ("my photo.jpg cat", "my photo.jpg", "cat"),
        ("a.jpg tabby cat", "a.jpg", "tabby cat"),
        ('"x,y.jpg",cat', "x,y.jpg", "cat"),
        ("x,y.jpg cat", "x,y.jpg", "cat"),
        ("x,y.jpg\tcat", "x,y.jpg", "cat"),
        ('a.jpg,"cat, tabby"', "a.jpg", "cat, tabby"),
        ('a.jpg,"the ""cat"""', "a.jpg", 'the "cat"'),
    ],
)
def test_names_and_classes_of_several_words(
    tmp_path: pathlib.Path, line: str, name: str, label: str
) -> None:
    (tmp_path / "labels.csv").write_text(line)
    assert labels.read(str(tmp_path / "labels.csv"), NAMES, None) == {name: label}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a.jpg cat\n\n\nb.jpg\n", r":4: expected 'filename class', found 'b.jpg'"),
        ("\ufeffa.jpg,cat\r\n\r\nb.jpg,\r\n", ":3: expected 'filename class'"),
        ("a.jpg,cat\na.jpg,dog\n", ":2: a second class for a.jpg"),
        ('a.jpg,cat\n"b.jpg,dog\n', ":2: expected 'filename class'"),
        ("a.jpg,cat,1\n", ":1: expected 'filename class'"),
        ("ImageId,PredictionString\na,cat 1 2 3 4\nb\n", ":3: expected 'ImageId,class box"),
        ("a.jpg,cat\nb.jpg\0,dog\n", "not a text file, or not in UTF-8: it holds zero bytes"),
        (
            "a.jpg," + 9999 * "c" + ",1\n",
            ":1: expected 'filename class', found 'a.jpg,c{74}[.]{3}'; of its 3",
        ),
    ],
)
def test_errors_name_the_line_as_an_editor_does(
    tmp_path: pathlib.Path, text: str, reason: str
) -> None:
    (tmp_path / "labels.csv").write_bytes(text.encode())
    with pytest.raises(UserError, match=reason):
        labels.read(str(tmp_path / "labels.csv"), NAMES, None)


def test_a_first_line_is_a_header_only_where_no_image_can_have_that_name() -> None:
    """A file that lacks is told, not taken for the name of a column."""
    content = b"x1,cat\nx2,dog\n"
    for names in (["x1", "x2"], ["x2", "x3.jpg"], ["x2"]):
        assert labels.parse("labels.csv", content, names, None) == {"x1": "cat", "x2": "dog"}
    assert labels.parse("labels.csv", b"x1.jpg,cat\nx2.jpg,dog\n", ["x2.jpg"], None) == {
        "x1.jpg": "cat", "x2.jpg": "dog",
    }  # fmt: skip


def test_kaggles_file_with_a_mark_and_any_ending(tmp_path: pathlib.Path) -> None:
    (tmp_path / "solution.csv").write_bytes(
        "\ufeffImageId,PredictionString\r\na,cat 1 2 3 4\r\nb,dog 1 2 3 4 dog 5 6 7 8\r\n".encode()
    )
    assert labels.read(str(tmp_path / "solution.csv"), NAMES, None) == EXPECTED


def test_kaggles_file_says_one_class_of_an_image() -> None:
    content = b"ImageId,PredictionString\na,cat 1 2 3 4\na,cat 5 6 7 8\nb,dog 1 2 3 4\n"
    assert labels.parse("s.csv", content, NAMES, None) == EXPECTED
    with pytest.raises(UserError, match=r"^s\.csv:5: a second class for b\."):
        labels.parse("s.csv", content + b"b,cat 1 2 3 4\n", NAMES, None)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be"])
def test_spreadsheets_unicode_text(encoding: str) -> None:
    mark = "\ufeff" if encoding == "utf-16-be" else ""
    content = f"{mark}a.jpg\tcaf\u00e9\r\nb.jpg\tdog\r\n".encode(encoding)
    assert labels.parse("l.txt", content, NAMES, None) == {"a.jpg": "caf\u00e9", "b.jpg": "dog"}
    with pytest.raises(UserError, match="not UTF-16 text"):
        labels.parse("l.txt", content[:-1], NAMES, None)


@pytest.mark.parametrize("encoding", ["utf-32", "utf-32-be"])
@pytest.mark.parametrize("end", ["", "\r\n", "\r\n\x1a"])
def test_utf_32_and_the_end_mark_of_dos(encoding: str, end: str) -> None:
    mark = "\ufeff" if encoding == "utf-32-be" else ""
    content = f"{mark}a.jpg,cat\r\nb.jpg,dog{end}".encode(encoding)
    assert labels.parse("l.txt", content, NAMES, None) == EXPECTED


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"PK\x03\x04\x14\0", "an Excel or zip file, expected text; save it as CSV"),
        (b"\xd0\xcf\x11\xe0\xa1", "an Excel file"),
        (b"\x1f\x8b\x08\0", "a gzip file"),
        (b"PAR1\x15\0", "a Parquet file"),
        ("a.jpg,cat\n".encode("utf-16-le"), "zero bytes; save it as UTF-8"),
        (b"\xff\xd8\xff\xe0", "an image"),
        (b'{"a.jpg": "cat", "b.jpg": "dog"}', "JSON is not read, write it as CSV"),
        (b'[{"file": "a.jpg"}]', "JSON is not read"),
        (b",filename,label\n0,a.jpg,cat\n", "of its 3 columns keep the two of names and classes"),
        (b'"a.jpg","cat\ntabby"\n', "1: .*its quotes do not end on this line"),
        (b"1\n2\n", "holds numbers, .*name it with --devkit, or write lines 'filename class'"),
        (b"1.5\n-2\n", "holds numbers"),
    ],
)
def test_what_is_taken_for_a_label_file(content: bytes, kind: str) -> None:
    with pytest.raises(UserError, match=f"labels.csv:.*{kind}"):
        labels.parse("labels.csv", content, NAMES, None)


def test_text_that_is_not_utf8_is_named(tmp_path: pathlib.Path) -> None:
    (tmp_path / "labels.csv").write_bytes(b"a.jpg,caf\xe9\n")
    with pytest.raises(UserError, match="not UTF-8 text .* at byte 9"):
        labels.read(str(tmp_path / "labels.csv"), NAMES, None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # As Kaggle's dog breeds: a header, and names without endings.
        ("id,breed\na,cat\nb,dog\n", {"a.jpg": "cat", "b.png": "dog"}),
        ("a,cat\nb,dog\n", {"a.jpg": "cat", "b.png": "dog"}),
        ("pictures/a cat\npictures/b dog\n", {"a.jpg": "cat", "b.png": "dog"}),
        ("a.jpg,cat\nb,dog\n", {"a.jpg": "cat", "b.png": "dog"}),
        # Two images have this name, so neither does.
        ("c,cat\n", {}),
    ],
)
def test_names_without_endings(text: str, expected: dict[str, str]) -> None:
    names = ["a.jpg", "b.png", "c.jpg", "c.png"]
    found = labels.parse("x", text.encode(), names, None)
    assert {name: label for name, label in found.items() if name in names} == expected


def test_a_heading_is_no_image_of_that_name_without_an_ending() -> None:
    found = labels.parse("x", b"image,label\nimage.jpg,cat\n", ["image.jpg"], None)
    assert found == {"image.jpg": "cat"}
