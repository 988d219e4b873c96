"""Tar archives read in place: like the standard library's reader, and never more trusting."""

import io
import os
import pathlib
import tarfile

import numpy as np
import pytest

from data_prep.sources import archives, tree

CONTENT = {"a.jpg": b"first", "b.jpg": b"", "c.jpg": b"x" * 513}


def write_tar(
    path: pathlib.Path, contents: dict[str, bytes], tar_format: int = tarfile.PAX_FORMAT
) -> pathlib.Path:
    with tarfile.open(path, "w", format=tar_format) as archive:
        for name, data in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def read_back(path: pathlib.Path, members: list[archives.Member]) -> dict[str, bytes]:
    data = path.read_bytes()
    return {
        member.name: data[member.offset : member.offset + member.size]
        for member in members
        if member.offset != archives.FOLDER
    }


@pytest.mark.parametrize(
    "tar_format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]
)
def test_members_lie_where_they_are_said_to(tmp_path: pathlib.Path, tar_format: int) -> None:
    contents = {**CONTENT, "deep/" * 20 + "name.jpg": b"long", "./dot.jpg": b"dot"}
    path = write_tar(tmp_path / "x.tar", contents, tar_format)
    expected = {name.removeprefix("./"): data for name, data in contents.items()}
    assert read_back(path, archives.members(str(path))) == expected


@pytest.mark.parametrize("tar_format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_very_long_and_foreign_names(tmp_path: pathlib.Path, tar_format: int) -> None:
    contents = {"d" * 90 + "/" + "n" * 240 + ".jpg": b"1", "caf\u00e9.jpg": b"2"}
    path = write_tar(tmp_path / "x.tar", contents, tar_format)
    assert read_back(path, archives.members(str(path))) == contents


def test_folders_are_passed_over(tmp_path: pathlib.Path) -> None:
    (tmp_path / "n1").mkdir()
    (tmp_path / "n1" / "a.jpg").write_bytes(b"data")
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        archive.add(tmp_path / "n1", "top/n1")
    path = tmp_path / "x.tar"
    assert read_back(path, archives.members(str(path))) == {"top/n1/a.jpg": b"data"}


def test_archives_within_an_archive(tmp_path: pathlib.Path) -> None:
    inner = {
        name: write_tar(tmp_path / name, CONTENT).read_bytes() for name in ("n1.tar", "n2.tar")
    }
    path = write_tar(tmp_path / "outer.tar", inner)
    expected = {
        f"{folder}/{name}": data for folder in ("n1", "n2") for name, data in CONTENT.items()
    }
    assert read_back(path, list(archives.nested_members(str(path)))) == expected


def test_the_index_is_kept_and_used_while_it_fits(tmp_path: pathlib.Path) -> None:
    path = write_tar(tmp_path / "x.tar", {f"cat/{name}": data for name, data in CONTENT.items()})
    folder = tmp_path / "cache"

    def listed() -> list[str]:
        table = tree.scan(str(path), str(folder)).table
        return [table.path(row) for row in range(len(table))]

    assert listed() == [f"cat/{name}" for name in CONTENT]
    (cache,) = folder.glob("index-x.tar-*.npz")
    stored = dict(np.load(cache))
    stored["names"] = np.frombuffer(b"A.jpgB.jpgC.jpg", np.uint8)
    np.savez(cache, **stored)
    assert listed() == ["cat/A.jpg", "cat/B.jpg", "cat/C.jpg"]
    write_tar(path, {**CONTENT, "d.jpg": b"new"})
    assert listed() == [*CONTENT, "d.jpg"]
    for damage in (b"", b"PK", b"{}", cache.read_bytes()[:-9]):
        cache.write_bytes(damage)
        assert listed() == [*CONTENT, "d.jpg"]


def test_archives_of_one_name_and_time_are_not_taken_for_each_other(
    tmp_path: pathlib.Path,
) -> None:
    """Those of reproducible builds are all of one time, and small ones of one size."""
    listed = {}
    for folder, name in (("train", "a.jpg"), ("validation", "b.jpg")):
        (tmp_path / folder).mkdir()
        path = write_tar(tmp_path / folder / "images.tar", {f"cat/{name}": b"data"})
        os.utime(path, (0, 0))
        table = tree.scan(str(path), str(tmp_path / "cache")).table
        listed[folder] = [table.path(row) for row in range(len(table))]
    assert listed == {"train": ["cat/a.jpg"], "validation": ["cat/b.jpg"]}
    # Each has an index of its own, so that the next run lists neither.
    assert len(list((tmp_path / "cache").glob("index-images.tar-*.npz"))) == 2


@pytest.mark.parametrize(
    ("column", "value"),
    [("sizes", 10**12), ("offsets", -5), ("path_ids", 1), ("folder_ids", 7), ("ends", 99)],
)
def test_a_cache_that_points_outside_is_not_believed(
    tmp_path: pathlib.Path, column: str, value: int
) -> None:
    path = write_tar(tmp_path / "x.tar", CONTENT)
    expected = [tree.scan(str(path), str(tmp_path)).table.place(row) for row in range(3)]
    (cache,) = tmp_path.glob("index-x.tar-*.npz")
    stored = dict(np.load(cache))
    stored[column] = stored[column].copy()
    stored[column][2] = value
    np.savez(cache, **stored)
    assert [tree.scan(str(path), str(tmp_path)).table.place(row) for row in range(3)] == expected


def hostile(tmp_path: pathlib.Path, **fields: object) -> pathlib.Path:
    """An archive with one good member and one whose header is as given."""
    member = tarfile.TarInfo("evil.jpg")
    for name, value in fields.items():
        setattr(member, name, value)
    with tarfile.open(tmp_path / "evil.tar", "w", format=tarfile.GNU_FORMAT) as archive:
        good = tarfile.TarInfo("good.jpg")
        good.size = 4
        archive.addfile(good, io.BytesIO(b"data"))
        archive.addfile(member, io.BytesIO(b"x" * 600) if member.isreg() else None)
    return tmp_path / "evil.tar"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"name": "../../etc/passwd"}, "not a plain relative path"),
        ({"name": "n1/../../x.jpg"}, "not a plain relative path"),
        ({"name": "/etc/passwd"}, "not a plain relative path"),
        ({"name": "n1\\..\\x.jpg"}, "not a plain relative path; it has backslashes for slashes"),
        ({"name": "n1//x.jpg"}, "not a plain relative path"),
        ({"name": "good.jpg"}, "is in it twice"),
        ({"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}, "symbolic link; tar --dereference"),
        ({"type": tarfile.LNKTYPE, "linkname": "good.jpg"}, "hard link; tar --hard-dereference"),
        ({"type": tarfile.CHRTYPE}, "device"),
        ({"type": tarfile.BLKTYPE}, "device"),
        ({"type": tarfile.FIFOTYPE}, "pipe"),
        ({"type": tarfile.GNUTYPE_SPARSE}, "sparse"),
        ({"type": b"Z"}, "unknown type"),
        ({"size": 600}, None),
    ],
)
def test_hostile_members_are_refused(
    tmp_path: pathlib.Path, fields: dict[str, object], reason: str | None
) -> None:
    path = hostile(tmp_path, **fields)
    if reason is None:
        assert len(archives.members(str(path))) == 2
        return
    with pytest.raises(archives.ArchiveError, match=reason) as raised:
        archives.members(str(path))
    assert "evil.tar" in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize("size", [10_000_000, 8**11 - 1, 2**60])
def test_an_archive_that_lies_about_sizes_is_refused(tmp_path: pathlib.Path, size: int) -> None:
    header = tarfile.TarInfo("liar.jpg")
    header.size = size
    path = tmp_path / "liar.tar"
    path.write_bytes(header.tobuf(tarfile.GNU_FORMAT) + bytes(10_240))
    with pytest.raises(archives.ArchiveError, match="claims"):
        archives.members(str(path))


def test_a_name_that_is_larger_than_the_archive_is_refused(tmp_path: pathlib.Path) -> None:
    header = tarfile.TarInfo("././@LongLink")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 50_000
    path = tmp_path / "liar.tar"
    path.write_bytes(header.tobuf(tarfile.GNU_FORMAT) + bytes(10_240))
    with pytest.raises(archives.ArchiveError, match="refused, a name of 50,000 bytes at 0"):
        archives.members(str(path))


@pytest.mark.parametrize("field", [b"0000000000x\0", b"-0000000001\0"])
def test_a_size_that_is_no_number_is_refused(tmp_path: pathlib.Path, field: bytes) -> None:
    header = bytearray(tarfile.TarInfo("a.jpg").tobuf(tarfile.USTAR_FORMAT))
    header[124:136] = field
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    path = tmp_path / "x.tar"
    path.write_bytes(header + bytes(1024))
    with pytest.raises(archives.ArchiveError, match="no size in the header at byte 0"):
        archives.members(str(path))


def test_a_sparse_file_of_the_newer_kind_is_refused(tmp_path: pathlib.Path) -> None:
    """GNU tar's --sparse with --format=pax: an ordinary file but for its extended header."""
    member = tarfile.TarInfo("holes.jpg")
    member.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(member)
    with pytest.raises(archives.ArchiveError, match="sparse"):
        archives.members(str(path))


def test_an_inner_archive_cannot_reach_into_the_next(tmp_path: pathlib.Path) -> None:
    header = tarfile.TarInfo("liar.jpg")
    header.size = 2_000
    liar = header.tobuf() + bytes(1_024)
    path = write_tar(tmp_path / "x.tar", {"n1.tar": liar, "n2.tar": bytes(10_240)})
    with pytest.raises(archives.ArchiveError, match="claims 2,000 bytes"):
        list(archives.nested_members(str(path)))


def test_a_negative_or_garbled_extended_size_is_refused(tmp_path: pathlib.Path) -> None:
    for size in ("-512", "9" * 30, "1e3", "\u0663"):
        member = tarfile.TarInfo("x.jpg")
        member.pax_headers = {"size": size}
        path = tmp_path / "x.tar"
        path.write_bytes(member.tobuf(tarfile.PAX_FORMAT) + bytes(1_024))
        with pytest.raises(archives.ArchiveError, match="claims a size"):
            archives.members(str(path))


@pytest.mark.parametrize("length", [b"9" * 5_000, b"\xb2", b"-14", b"0", b"", b"15", b"999999"])
def test_a_garbled_extended_header_is_refused(tmp_path: pathlib.Path, length: bytes) -> None:
    """Of its 14 bytes, all but the length are right."""
    content = length + b" path=x.jpg\n"
    member = tarfile.TarInfo("extended")
    member.type, member.size = tarfile.XHDTYPE, len(content)
    path = tmp_path / "x.tar"
    path.write_bytes(member.tobuf() + content + bytes(-len(content) % 512 + 1_024))
    with pytest.raises(archives.ArchiveError, match="damaged extended header at byte 0"):
        archives.members(str(path))


def test_every_truncation_is_refused(tmp_path: pathlib.Path) -> None:
    path = write_tar(tmp_path / "x.tar", CONTENT)
    data = path.read_bytes()
    end_mark = 512 * 5  # three headers, data of one and of two blocks, rounded up
    assert data[end_mark + 512 : end_mark + 1024] == bytes(512)
    for length in range(0, end_mark + 512, 100):
        path.write_bytes(data[:length])
        with pytest.raises(archives.ArchiveError):
            archives.members(str(path))


@pytest.mark.parametrize("zeros", [0, 512, 3 << 20])
def test_archives_joined_by_cat_are_refused(tmp_path: pathlib.Path, zeros: int) -> None:
    """tar reads the first one only: the others would be left out without a word."""
    first = write_tar(tmp_path / "1.tar", CONTENT).read_bytes()
    second = write_tar(tmp_path / "2.tar", {"z.jpg": b"z"}, tarfile.GNU_FORMAT).read_bytes()
    path = tmp_path / "x.tar"
    path.write_bytes(first + bytes(zeros) + second)
    at = f"{len(first) + zeros:,}"
    with pytest.raises(archives.ArchiveError, match=f"another archive begins at byte {at}, behind"):
        archives.members(str(path))
    # A class archive within another one, too.
    write_tar(tmp_path / "outer.tar", {"n1.tar": first + second, "n2.tar": first})
    with pytest.raises(archives.ArchiveError, match="another archive begins at byte"):
        list(archives.nested_members(str(tmp_path / "outer.tar")))
    # Blocks that are no archive follow the end mark on old tapes.
    for behind in (b"", bytes(zeros), b"\1" * 700, bytes(zeros) + b"\1" * 1300):
        path.write_bytes(first + behind)
        assert read_back(path, archives.members(str(path))) == CONTENT


def test_labels_and_incremental_backups_are_read(tmp_path: pathlib.Path) -> None:
    """As `tar --label` and `tar --listed-incremental` write them."""
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as archive:
        label = tarfile.TarInfo("my photographs")
        label.type = b"V"
        archive.addfile(label)
        listed = tarfile.TarInfo("cat/")
        listed.type, names = b"D", b"Ya.jpg\0Yb.jpg\0\0"
        listed.size = len(names)
        # The module has a table of the types that have content.
        archive.addfile(listed)
        archive.fileobj.write(names.ljust(512, b"\0"))  # type: ignore[union-attr]
        archive.offset += 512
        for name in ("a", "b"):
            member = tarfile.TarInfo(f"cat/{name}.jpg")
            member.size = 1
            archive.addfile(member, io.BytesIO(name.encode()))
    found = archives.members(str(path))
    assert read_back(path, found) == {"cat/a.jpg": b"a", "cat/b.jpg": b"b"}
    assert [one.name for one in found if one.offset == archives.FOLDER] == ["cat"]


def test_a_damaged_header_is_refused(tmp_path: pathlib.Path) -> None:
    path = write_tar(tmp_path / "x.tar", CONTENT)
    data = bytearray(path.read_bytes())
    data[1024 + 5] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(archives.ArchiveError, match="damaged header at byte 1,024"):
        archives.members(str(path))


@pytest.mark.parametrize("data", [b"\x1f\x8b" + bytes(2_000), b"\xff\xd8" * 600, b"text " * 300])
def test_other_files_are_no_archives(tmp_path: pathlib.Path, data: bytes) -> None:
    (tmp_path / "x.tar").write_bytes(data)
    with pytest.raises(archives.ArchiveError, match="not an uncompressed tar"):
        archives.members(str(tmp_path / "x.tar"))


def test_checksums_of_signed_bytes_are_known(tmp_path: pathlib.Path) -> None:
    """As some old writers summed them; the standard library accepts both, too."""
    header = bytearray(tarfile.TarInfo("caf\u00e9.jpg").tobuf(tarfile.GNU_FORMAT))
    header[148:156] = b" " * 8
    signed = sum(byte - 256 if byte > 127 else byte for byte in header)
    header[148:156] = b"%06o\0 " % signed
    (tmp_path / "x.tar").write_bytes(bytes(header) + bytes(1_024))
    assert [member.name for member in archives.members(str(tmp_path / "x.tar"))] == [
        "caf\u00e9.jpg"
    ]


def test_mixed_and_empty_inner_archives_are_refused(tmp_path: pathlib.Path) -> None:
    inner = write_tar(tmp_path / "n1.tar", CONTENT).read_bytes()
    mixed = write_tar(tmp_path / "mixed.tar", {"n1.tar": inner, "stray.jpg": b"x"})
    with pytest.raises(archives.ArchiveError, match="'stray.jpg'"):
        list(archives.nested_members(str(mixed)))
    empty = write_tar(tmp_path / "empty.tar", {"n1.tar": inner, "n2.tar": bytes(10_240)})
    with pytest.raises(archives.ArchiveError, match=r"'n2.tar' in it is empty"):
        list(archives.nested_members(str(empty)))
