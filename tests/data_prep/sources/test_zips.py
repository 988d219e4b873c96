"""Zips and compressed tars: what the standard library wrote is read back, the rest is refused."""

import errno
import gzip
import io
import os
import pathlib
import struct
import types
import zipfile

import pytest

from alexnet_common.errors import UserError
from data_prep.sources import listing, tree, unpacked
from data_prep.sources.image_table import Place
from data_prep.sources.reading import read_place
from tests.helpers import imagenet_forms

CONTENT = {"cat/a.jpg": b"first" * 100, "cat/b.jpg": b"", "dog/\u00e9.jpg": os.urandom(3_000)}


def read_back(path: pathlib.Path, cache: pathlib.Path | None = None) -> dict[str, bytes]:
    table = tree.scan(str(path), str(cache) if cache else None).table
    return {table.path(row): read_place(table.place(row)) for row in range(len(table))}


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_members_are_read_in_place(tmp_path: pathlib.Path, method: int) -> None:
    path = imagenet_forms.write_zip(tmp_path / "x.zip", CONTENT, method)
    assert read_back(path) == CONTENT
    # Something may stand before it, as in a self-extracting one.
    path.write_bytes(b"#!/bin/sh\n" + path.read_bytes())
    with pytest.raises(UserError, match="not an uncompressed tar"):
        read_back(path)


def test_a_zip_written_as_a_stream(tmp_path: pathlib.Path) -> None:
    """Its headers state neither sizes nor checksums; the directory does."""

    class Pipe(io.RawIOBase):
        def __init__(self) -> None:
            self.content = b""

        def writable(self) -> bool:
            return True

        def write(self, data: bytes) -> int:  # type: ignore[override]
            self.content += bytes(data)
            return len(data)

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:  # type: ignore[arg-type]
        for name, data in CONTENT.items():
            archive.writestr(name, data)
    assert pipe.content[6] & 0x8
    (tmp_path / "x.zip").write_bytes(pipe.content)
    assert read_back(tmp_path / "x.zip") == CONTENT
    # The checksum behind the content is looked at, with and without the mark before it.
    member = zipfile.ZipFile(tmp_path / "x.zip").infolist()[2]
    mark = pipe.content.index(b"PK\x07\x08", member.header_offset)
    for place in (mark, mark + 4):
        data = bytearray(pipe.content)
        if place == mark:
            data[mark : mark + 4] = data[mark + 4 : mark + 8]
            (tmp_path / "x.zip").write_bytes(data)
            assert read_back(tmp_path / "x.zip") == CONTENT
        data[place] ^= 1
        (tmp_path / "x.zip").write_bytes(data)
        with pytest.raises(OSError, match="damaged in the zip archive, its checksum differs"):
            read_back(tmp_path / "x.zip")


def hostile(path: pathlib.Path, name: str = "cat/x.jpg", **fields: int) -> pathlib.Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("cat/good.jpg", b"data")
        member = zipfile.ZipInfo(name)
        for key, value in fields.items():
            setattr(member, key, value)
        archive.writestr(member, b"data")
    return path


@pytest.mark.parametrize(
    "name", ["../x.jpg", "cat/../../x.jpg", "/etc/passwd", "cat\\..\\x.jpg", "cat//x.jpg"]
)
def test_hostile_names_are_refused(tmp_path: pathlib.Path, name: str) -> None:
    with pytest.raises(UserError, match="not a plain relative path"):
        read_back(hostile(tmp_path / "x.zip", name))


def test_a_member_without_a_name_is_refused(tmp_path: pathlib.Path) -> None:
    path = imagenet_forms.write_zip(tmp_path / "x.zip", {"x": b"1"}, zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    # Lengths of name and extra field in the directory (APPNOTE.TXT, 4.3.12).
    struct.pack_into("<HH", data, data.index(b"PK\x01\x02") + 28, 0, 1)
    path.write_bytes(data)
    with pytest.raises(UserError, match="a member of it does not have a name"):
        read_back(path)


def test_links_are_refused(tmp_path: pathlib.Path) -> None:
    path = hostile(tmp_path / "x.zip", external_attr=0o120777 << 16)
    with pytest.raises(UserError, match="'cat/x.jpg' in it is a link or a special file"):
        read_back(path)


def test_a_name_twice_is_refused(tmp_path: pathlib.Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        path = hostile(tmp_path / "x.zip", "cat/good.jpg")
    with pytest.raises(UserError, match="'cat/good.jpg' is in it twice"):
        read_back(path)


def test_other_methods_are_refused(tmp_path: pathlib.Path) -> None:
    path = imagenet_forms.write_zip(tmp_path / "x.zip", CONTENT, zipfile.ZIP_LZMA)
    with pytest.raises(UserError, match="compressed by method 14; only stored and deflated"):
        read_back(path)


def test_encrypted_members_are_refused(tmp_path: pathlib.Path) -> None:
    path = imagenet_forms.write_zip(tmp_path / "x.zip", {"cat/a.jpg": b"data"})
    data = bytearray(path.read_bytes())
    # The flags in the directory's entry (APPNOTE 4.3.12) and in the member's header.
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(bytes(data))
    with pytest.raises(UserError, match="'cat/a.jpg' in it is encrypted"):
        read_back(path)


def test_every_cut_is_refused(tmp_path: pathlib.Path) -> None:
    path = imagenet_forms.write_zip(tmp_path / "x.zip", CONTENT)
    data = path.read_bytes()
    for length in range(4, len(data), 97):
        path.write_bytes(data[:length])
        with pytest.raises(UserError, match="is not a whole zip archive"):
            read_back(path)


@pytest.mark.parametrize(
    ("after", "reason"), [(0, "does not hold it where"), (45, "damaged|cut off|checksum")]
)
def test_damage_within_a_member_is_an_error_of_that_file(
    tmp_path: pathlib.Path, after: int, reason: str
) -> None:
    contents = {"cat/a.jpg": b"data", "cat/b.jpg": b"some text " * 40}
    path = imagenet_forms.write_zip(tmp_path / "x.zip", contents)
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x03\x04", 4) + after] ^= 0x55
    path.write_bytes(bytes(data))
    table = tree.scan(str(path)).table
    assert read_place(table.place(0)) == b"data"
    with pytest.raises(OSError, match=reason):
        read_place(table.place(1))


def test_each_kind_of_damage_is_named(tmp_path: pathlib.Path) -> None:
    path = imagenet_forms.write_zip(tmp_path / "x.zip", {"cat/a.jpg": b"some text " * 40})
    place = tree.scan(str(path)).table.place(0)
    assert read_place(place) == b"some text " * 40
    with pytest.raises(OSError, match="cut off in the zip archive"):
        read_place(place._replace(size=place.size - 3))
    data = bytearray(path.read_bytes())
    # The checksum within a member's header (APPNOTE 4.3.7).
    data[14] ^= 1
    path.write_bytes(data)
    with pytest.raises(OSError, match="damaged in the zip archive, its checksum differs"):
        read_place(place)
    # 30 bytes of header, then the name.
    path.write_bytes(data[: 30 + len("cat/a.jpg") + 5])
    with pytest.raises(OSError, match=f"only 5 of {place.size} bytes are there"):
        read_place(place)


def test_a_member_beyond_the_archives_end_is_refused(tmp_path: pathlib.Path) -> None:
    path = imagenet_forms.write_zip(tmp_path / "x.zip", {"cat/a.jpg": b"data"})
    data = bytearray(path.read_bytes())
    # The stored size within the directory's entry (APPNOTE 4.3.12).
    struct.pack_into("<I", data, data.index(b"PK\x01\x02") + 20, 1_000_000)
    path.write_bytes(data)
    with pytest.raises(UserError, match="'cat/a.jpg' reaches beyond its end"):
        read_back(path)


def test_a_bomb_is_not_inflated(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("data_prep.sources.reading.MAX_FILE_BYTES", 100_000)
    path = imagenet_forms.write_zip(tmp_path / "x.zip", {"cat/a.jpg": bytes(100_001)})
    with pytest.raises(OSError, match="more than the 100,000 bytes"):
        read_back(path)
    path = imagenet_forms.write_zip(tmp_path / "x.zip", {"cat/a.jpg": bytes(100_000)})
    assert read_back(path) == {"cat/a.jpg": bytes(100_000)}


def test_a_member_whose_header_contradicts_the_directory(tmp_path: pathlib.Path) -> None:
    path = imagenet_forms.write_zip(tmp_path / "x.zip", {"cat/a.jpg": b"data"})
    data = bytearray(path.read_bytes())
    struct.pack_into("<H", data, 8, 14)
    path.write_bytes(bytes(data))
    with pytest.raises(OSError, match="contradict each other"):
        read_back(path)
    with pytest.raises(OSError, match="does not hold it where"):
        read_place(Place(str(path), 3, 4, 1))


def test_a_compressed_tar_is_unpacked_once(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = imagenet_forms.tar_gz(tmp_path / "x.tar.gz", CONTENT)
    cache = tmp_path / "cache"
    for said in (1, 0):
        assert read_back(path, cache) == CONTENT
        assert capsys.readouterr().err.count("is unpacked once to") == said
    (flat,) = cache.glob("unpacked-*-x.tar.gz")
    assert flat.read_bytes() == gzip.decompress(path.read_bytes())
    path = imagenet_forms.tar_gz(path, {"cat/new.jpg": b"x"})
    assert read_back(path, cache) == {"cat/new.jpg": b"x"}


def test_a_compressed_tar_that_cannot_be_unpacked(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = imagenet_forms.tar_gz(tmp_path / "x.tar.gz", CONTENT)
    whole = path.read_bytes()
    cache = tmp_path / "cache"
    for damaged in (whole[:-9], whole[: len(whole) // 2], whole[:30] + b"!!!!" + whole[34:]):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match="gzip stream is damaged or cut off|not an uncompr"):
            read_back(path, cache)
    path.write_bytes(gzip.compress(b"text " * 500))
    with pytest.raises(UserError, match="x.tar.gz: is the gzip of something else, expected that"):
        read_back(path, cache)
    path.write_bytes(gzip.compress(b"PK\3\4" + bytes(600)))
    with pytest.raises(UserError, match="x.tar.gz: is the gzip of a zip file"):
        read_back(path, cache)
    assert not cache.exists() or os.listdir(cache) == []
    # What is wrong within is said of the file that the user named.
    imagenet_forms.tar_gz(path, {"cat/a.jpg": b"x", "cat/../b.jpg": b"x"})
    with pytest.raises(UserError, match=rf"^{path}: refused, 'cat/../b.jpg' in it is not a plain"):
        read_back(path, cache)
    path.write_bytes(whole)
    with pytest.raises(UserError, match="which needs an --output_dir on a disk"):
        listing.find_images(str(path), cache_folder="gs://bucket/data/.conversion")
    monkeypatch.setattr(unpacked, "_ALWAYS_BYTES", 5_000)
    monkeypatch.setattr(unpacked, "_MOST_TIMES", 2)
    with pytest.raises(UserError, match="bytes unpack to more than"):
        read_back(path, cache)
    monkeypatch.setattr(unpacked.shutil, "disk_usage", lambda folder: types.SimpleNamespace(free=7))
    with pytest.raises(UserError, match="needs about .* bytes; 7 are free"):
        read_back(path, cache)
    with pytest.raises(UserError, match="x.tar.gz: cannot be unpacked to .*make room and run"):
        with unpacked.writer(str(cache / "unpacked-1-x.tar.gz"), str(path)) as file:
            file.write(b"begun")
            raise OSError(errno.ENOSPC, "No space left on device")
    left = [name for name in os.listdir(cache) if "-x.tar.gz" in name and name.startswith(".")]
    assert left == []
