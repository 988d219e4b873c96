"""What people have beside the kinds of images that are read, to be named in messages."""

from __future__ import annotations

# Kind -> where its mark stands, and the mark; the first that fits is taken.
_MARKS: tuple[tuple[str, tuple[tuple[int, bytes], ...]], ...] = (
    ("a camera's raw file", (
        (0, b"FUJIFILM"), (0, b"IIRO"), (0, b"IIRS"), (0, b"MMOR"), (0, b"IIU\0"),
        (6, b"HEAPCCDR"), (8, b"CR\2\0"), (0, b"\0MRM"), (0, b"FOVb"), (4, b"ftypcrx"),
    )),
    ("a TIFF file", ((0, b"II*\0"), (0, b"MM\0*"), (0, b"II+\0"), (0, b"MM\0+"))),
    ("a HEIC file", ((4, b"ftypheic"), (4, b"ftypheix"), (4, b"ftyphevc"), (4, b"ftyphevx"))),
    ("a HEIF file", ((4, b"ftypmif1"), (4, b"ftypmsf1"))),
    ("an AVIF file", ((4, b"ftypavif"), (4, b"ftypavis"))),
    ("a film", (
        (4, b"ftyp"), (4, b"moov"), (4, b"mdat"), (4, b"wide"), (0, b"\x1a\x45\xdf\xa3"),
        (8, b"AVI "), (0, b"\0\0\x01\xba"), (0, b"FLV\x01"), (0, b"0\x26\xb2\x75"),
    )),
    ("a JPEG 2000 file", ((0, b"\0\0\0\x0cjP  "), (0, b"\xff\x4f\xff\x51"))),
    ("a JPEG XL file", ((0, b"\xff\x0a"), (0, b"\0\0\0\x0cJXL "))),
    ("a Photoshop file", ((0, b"8BPS"),)),
    ("a GIMP file", ((0, b"gimp xcf"),)),
    ("a PDF file", ((0, b"%PDF"),)),
    ("a PostScript file", ((0, b"%!PS"), (0, b"\xc5\xd0\xd3\xc6"))),
    ("an icon", ((0, b"\0\0\x01\0"), (0, b"icns"))),
    # As a cursor begins, which then has a number of pictures.
    ("a TGA file", ((0, b"\0\0\x02\0\0\0\0\0"), (0, b"\0\0\x0a\0\0\0\0\0"))),
    ("a cursor", ((0, b"\0\0\x02\0"),)),
    ("a WMF drawing", ((0, b"\xd7\xcd\xc6\x9a"),)),
    ("a QOI file", ((0, b"qoif"),)),
    ("an MNG file", ((0, b"\x8aMNG"),)),
    ("a JNG file", ((0, b"\x8bJNG"),)),
    ("a PNG in the form of iOS", ((12, b"CgBI"),)),
    ("an XPM file", ((0, b"/* XPM"),)),
    ("a PNM file", tuple((0, f"P{n}{space}".encode()) for n in range(1, 8) for space in "\n\r ")),
    ("an OpenEXR file", ((0, b"v/1\x01"),)),
    ("a Radiance file", ((0, b"#?RADIANCE"), (0, b"#?RGBE"))),
    ("a DirectDraw file", ((0, b"DDS "),)),
    ("a DICOM file", ((128, b"DICM"),)),
    ("a FITS file", ((0, b"SIMPLE  ="),)),
    ("a NumPy array", ((0, b"\x93NUMPY"),)),
    ("an HDF5 file", ((0, b"\x89HDF"),)),
    ("a ZIP archive", ((0, b"PK\x03\x04"),)),
    ("a tar archive", ((257, b"ustar"),)),
    ("an xz archive", ((0, b"\xfd7zXZ"),)),
    ("a bzip2 archive", ((0, b"BZh"),)),
    ("a zstd archive", ((0, b"\x28\xb5\x2f\xfd"),)),
    ("a gzip archive", ((0, b"\x1f\x8b"),)),
    ("a RAR archive", ((0, b"Rar!"),)),
    ("a 7-Zip archive", ((0, b"7z\xbc\xaf"),)),
    ("an SVG drawing", ((0, b"<svg"),)),
    ("an XML file", ((0, b"<?xml"),)),
    ("a web page", ((0, b"<html"), (0, b"<!DOCTYPE html"))),
    ("a pointer of Git LFS; run git lfs pull", ((0, b"version https://git-lfs"),)),
)  # fmt: skip


def name(data: bytes) -> str | None:
    """What kind of file begins with these bytes, with its article; None: none that is known."""
    for kind, marks in _MARKS:
        for place, mark in marks:
            if data[place : place + len(mark)].lower() == mark.lower():
                return kind
    return None
