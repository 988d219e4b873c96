"""What a file is, said before any decoder sees it: kinds, sizes, ends, orientation, variants."""

import io
import struct
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from data_prep.pixels import exif, headers, images
from data_prep.pixels.errors import ImageError
from tests.helpers import imagenet_standin

WIDTH, HEIGHT = 45, 31


@pytest.fixture(scope="module")
def photograph() -> np.ndarray:
    return imagenet_standin.picture(np.random.default_rng(5), WIDTH, HEIGHT)


def saved(picture: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def bmp(
    photograph: np.ndarray,
    bits: int,
    body: bytes,
    *,
    palette: bytes = b"",
    masks: tuple[int, ...] = (),
    height: int = HEIGHT,
) -> bytes:
    """A BMP by the book: BITMAPINFOHEADER, masks or a palette, rows."""
    compression = 3 if masks else 0
    colours = len(palette) // 4
    header = struct.pack(
        "<IiiHHIIiiII", 40, WIDTH, height, 1, bits, compression, len(body), 0, 0, colours, 0
    )
    header += struct.pack(f"<{len(masks)}I", *masks) + palette
    return b"BM" + struct.pack("<IHHI", 14 + len(header) + len(body), 0, 0, 14 + len(header)) + (
        header + body
    )  # fmt: skip


def padded(rows: list[bytes]) -> bytes:
    """Rows from the bottom, each filled up to four bytes."""
    return b"".join(row.ljust(-(-len(row) // 4) * 4, b"\0") for row in rows[::-1])


class TestTheEndOfAJpeg:
    """Found by walking the markers: anything may follow it, and nothing may stand for it."""

    @pytest.mark.parametrize(
        "behind",
        [
            b"\0" * 300_000,
            b"\0\0\0\x18ftypmp42" + bytes(range(256)) * 40,
            b"\xff\xda" + b"\xff\xd8" * 20,
            b"\xff" * 1000,
            b"\xff\xda",
        ],
    )
    @pytest.mark.parametrize("progressive", [False, True])
    def test_anything_may_follow(
        self, photograph: np.ndarray, behind: bytes, progressive: bool
    ) -> None:
        data = saved(Image.fromarray(photograph), "JPEG", progressive=progressive)
        assert np.array_equal(images.decode(data + behind), images.decode(data))

    def test_two_pictures_in_one_file(self, photograph: np.ndarray) -> None:
        picture = Image.fromarray(photograph)
        data = saved(picture, "MPO", save_all=True, append_images=[picture.rotate(180)])
        expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
        assert np.array_equal(images.decode(data), expected)

    def test_an_end_mark_in_a_thumbnail_or_behind_the_cut_counts_not(
        self, photograph: np.ndarray
    ) -> None:
        data = saved(Image.fromarray(photograph), "JPEG")
        thumbnail = saved(Image.fromarray(photograph[:8, :8]), "JPEG")
        assert thumbnail.endswith(b"\xff\xd9")
        block = b"\xff\xe2" + struct.pack(">H", len(thumbnail) + 2) + thumbnail
        whole = data[:2] + block + data[2:]
        assert np.array_equal(images.decode(whole), images.decode(data))
        with pytest.raises(ImageError, match="no end-of-image mark"):
            headers.inspect(whole[:-2])

    def test_restart_marks_end_no_scan(self, photograph: np.ndarray) -> None:
        data = saved(Image.fromarray(photograph), "JPEG", restart_marker_blocks=1)
        assert data.count(b"\xff\xd3") >= 1
        headers.inspect(data)
        with pytest.raises(ImageError, match="truncated JPEG"):
            headers.inspect(data[: data.rindex(b"\xff\xd3")])

    def test_marks_at_the_edge_of_a_window(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The coded data is searched in pieces; a mark may lie across two."""
        data = saved(Image.fromarray(np.zeros((8, 8, 3), np.uint8)), "JPEG")
        begin = data.index(b"\xff\xda") + 14
        for length in range(20):
            padding = b"\xff\x00" * (length // 2) + b"\0" * (length % 2)
            longer = data[:begin] + padding + data[begin:]
            from data_prep.pixels import jpeg

            monkeypatch.setattr(jpeg, "_WINDOW", 7)
            jpeg.read(longer)
            with pytest.raises(ImageError):
                jpeg.read(longer[:-1])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({4: b"\x0c"}, "JPEG of 12 bits per colour"),
        ({1: b"\xc3"}, "lossless JPEG"),
        ({1: b"\xc5"}, "hierarchical JPEG"),
        ({9: b"\x02"}, "JPEG of 2 components"),
        ({5: b"\0\0"}, "JPEG without pixels"),
        ({5: b"\xff\xff\xff\xff"}, "65535x65535 pixels are more than"),
        ({2: b"\0\1"}, "a marker segment without length"),
    ],
)
def test_jpegs_that_are_not_decoded_are_named(
    photograph: np.ndarray, change: dict[int, bytes], reason: str
) -> None:
    data = bytearray(saved(Image.fromarray(photograph), "JPEG"))
    frame = data.index(b"\xff\xc0")
    for offset, value in change.items():
        data[frame + offset : frame + offset + len(value)] = value
    with pytest.raises(ImageError, match=reason):
        headers.inspect(bytes(data))


def test_a_jpeg_of_thousands_of_scans_is_refused() -> None:
    """A few kilobytes that would keep a decoder busy for minutes."""
    data = bytearray(saved(Image.new("RGB", (16, 16)), "JPEG", progressive=True))
    frame = data.index(b"\xff\xc2")
    struct.pack_into(">HH", data, frame + 5, 8000, 8000)
    last = data.rindex(b"\xff\xda")
    scan = bytes(data[last:-2])
    headers.inspect(bytes(data[:-2]) + scan * 20 + b"\xff\xd9")
    with pytest.raises(ImageError, match="scans of 8000x8000 pixels"):
        headers.inspect(bytes(data[:-2]) + scan * 2000 + b"\xff\xd9")


@pytest.mark.parametrize(
    ("masks", "bits"),
    [
        ((0xFF0000, 0xFF00, 0xFF), 32),
        ((0xFF000000, 0xFF0000, 0xFF00), 32),
        ((0xF800, 0x7E0, 0x1F), 16),
        ((0x7C00, 0x3E0, 0x1F), 16),
        ((), 16),
        ((), 32),
    ],
)
def test_bit_fields_of_a_bmp(photograph: np.ndarray, masks: tuple[int, ...], bits: int) -> None:
    fields = masks or ((0x7C00, 0x3E0, 0x1F) if bits == 16 else (0xFF0000, 0xFF00, 0xFF))
    packed = np.zeros((HEIGHT, WIDTH), np.uint32)
    expected = np.empty_like(photograph)
    for channel, mask in enumerate(fields):
        shift = (mask & -mask).bit_length() - 1
        most = mask >> shift
        level = (photograph[..., channel].astype(np.uint32) * most + 127) // 255
        packed |= level << shift
        expected[..., channel] = np.rint(level * 255 / most)
    rows = [row.astype("<u2" if bits == 16 else "<u4").tobytes() for row in packed]
    data = bmp(photograph, bits, padded(rows), masks=masks)
    # Five and six bits become eight by repeating bits or by rounding: one level of difference.
    assert np.abs(images.decode(data).astype(int) - expected).max() <= (1 if bits == 16 else 0)
    assert headers.inspect(data).in_tensorflow == (bits == 32 and not masks)


def test_bit_fields_of_other_layouts_are_refused_or_right(photograph: np.ndarray) -> None:
    levels = photograph.astype(np.uint32)
    packed = levels[..., 0] << 20 | levels[..., 1] << 10 | levels[..., 2]
    data = bmp(
        photograph, 32, padded([row.astype("<u4").tobytes() for row in packed]),
        masks=(0x3FF00000, 0xFFC00, 0x3FF),
    )  # fmt: skip
    with pytest.raises(ImageError, match="BMP of a variant that is not decoded"):
        images.decode(data)


def test_bmps_with_headers_of_no_known_size_are_refused(photograph: np.ndarray) -> None:
    data = bytearray(saved(Image.fromarray(photograph), "BMP"))
    for size in (0, 16, 41, 66, 8232, 2**32 - 1):
        struct.pack_into("<I", data, 14, size)
        with pytest.raises(ImageError, match="variant that is not decoded"):
            headers.inspect(bytes(data))


@pytest.mark.parametrize("bits", [1, 4, 8])
@pytest.mark.parametrize("top_down", [False, True])
def test_palettes_of_a_bmp(photograph: np.ndarray, bits: int, top_down: bool) -> None:
    colours = np.random.default_rng(bits).integers(0, 256, (2**bits, 3), np.uint8)
    indices = photograph[..., 0] >> (8 - bits)
    rows = []
    for row in indices:
        spread = np.unpackbits(row[:, None], axis=1)[:, 8 - bits :]
        rows.append(np.packbits(spread.ravel()).tobytes())
    palette = b"".join(bytes([*colour[::-1], 0]) for colour in colours)
    height = -HEIGHT if top_down else HEIGHT
    body = padded(rows[::-1] if top_down else rows)
    data = bmp(photograph, bits, body, palette=palette, height=height)
    assert np.array_equal(images.decode(data), colours[indices])
    assert not headers.inspect(data).in_tensorflow


class TestFramesOfAGif:
    """The first frame on its canvas; where nothing is drawn it is black."""

    @staticmethod
    def moved(data: bytes, canvas: tuple[int, int], place: tuple[int, int]) -> bytes:
        result = bytearray(data)
        struct.pack_into("<HH", result, 6, *canvas)
        struct.pack_into("<HH", result, data.index(b",\0\0\0\0") + 1, *place)
        return bytes(result)

    @pytest.fixture(scope="class")
    @staticmethod
    def plain(photograph: np.ndarray) -> tuple[bytes, np.ndarray]:
        picture = Image.fromarray(photograph).quantize(60)
        return saved(picture, "GIF"), np.asarray(picture.convert("RGB"))

    @pytest.mark.parametrize(
        ("canvas", "place"), [((WIDTH + 9, HEIGHT + 5), (0, 0)), ((WIDTH + 9, HEIGHT + 5), (7, 3))]
    )
    def test_a_frame_smaller_than_the_canvas(
        self,
        plain: tuple[bytes, np.ndarray],
        canvas: tuple[int, int],
        place: tuple[int, int],
    ) -> None:
        data, pixels = plain
        expected = np.zeros((canvas[1], canvas[0], 3), np.uint8)
        expected[place[1] : place[1] + HEIGHT, place[0] : place[0] + WIDTH] = pixels
        found = self.moved(data, canvas, place)
        assert np.array_equal(images.decode(found), expected)
        assert not headers.inspect(found).in_tensorflow

    def test_a_canvas_smaller_than_the_frame(self, plain: tuple[bytes, np.ndarray]) -> None:
        data, pixels = plain
        assert np.array_equal(images.decode(self.moved(data, (3, 2), (0, 0))), pixels)
        assert np.array_equal(images.decode(self.moved(data, (0, 0), (0, 0))), pixels)

    def test_what_is_transparent(self, photograph: np.ndarray) -> None:
        picture = Image.fromarray(photograph).quantize(60)
        expected = np.array(picture.convert("RGB"))
        expected[np.asarray(picture) == 7] = 0
        assert np.array_equal(images.decode(saved(picture, "GIF", transparency=7)), expected)

    def test_a_film_costs_one_frame(self, photograph: np.ndarray) -> None:
        frames = [Image.fromarray(np.roll(photograph, n, 1)).quantize(60) for n in range(30)]
        data = saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
        # Cut within the second frame: the first is whole.
        second = data.index(b",", data.index(b",\0\0\0\0") + WIDTH * HEIGHT // 2)
        expected = np.asarray(frames[0].convert("RGB"))
        assert np.array_equal(images.decode(data[: second + 40] + b"\0"), expected)


@pytest.mark.parametrize("lossless", [False, True])
@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("animated", [False, True])
def test_webps_are_told_from_each_other(
    photograph: np.ndarray, lossless: bool, alpha: bool, animated: bool
) -> None:
    """TensorFlow's decoder ends the process at an animated one, and refuses an alpha channel."""
    planes = [photograph, np.full((HEIGHT, WIDTH, 1), 90, np.uint8)] if alpha else [photograph]
    picture = Image.fromarray(np.dstack(planes))
    more = {"save_all": True, "append_images": [picture.rotate(180)]} if animated else {}
    data = saved(picture, "WEBP", lossless=lossless, exact=True, **more)
    header = headers.inspect(data)
    assert (header.kind, header.width, header.height) == ("WebP", WIDTH, HEIGHT)
    assert header.animated == animated
    assert header.in_tensorflow == (not animated and not alpha)
    pixels = images.decode(data)
    if lossless:
        assert np.array_equal(pixels, photograph)
    else:
        assert np.abs(pixels.astype(int) - photograph).mean() < 12


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("value", range(1, 9))
def test_orientation_is_read_and_applied_on_request(
    photograph: np.ndarray, kind: str, value: int
) -> None:
    """Oracle: Pillow turns its own pixels of the same file."""
    block = Image.Exif()
    block[0x0112] = value
    options = {"lossless": True} if kind == "WEBP" else {}
    data = saved(Image.fromarray(photograph), kind, exif=block.tobytes(), **options)
    assert headers.inspect(data).orientation == value
    assert images.decode(data).shape == photograph.shape
    scene = images.decode(data, "apply")
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    assert np.array_equal(scene, np.asarray(expected))
    square = images.square_pixels(data, 16, "apply")
    assert np.array_equal(square, images.square_pixels(saved(Image.fromarray(scene), "PNG"), 16))


@pytest.mark.parametrize(
    "block",
    [
        b"", b"II", b"MM\0*", b"II*\0\xff\xff\xff\xff", b"II*\0\x08\0\0\0\xff\xff",
        b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x09\0\0\0",
        b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x02\0\0\0\x06\0\0\0",
        b"II*\0\x08\0\0\0\x01\0\x12\x01\x02\0\x01\0\0\0\x06\0\0\0",
    ],
)  # fmt: skip
def test_damaged_exif_blocks_turn_nothing(block: bytes) -> None:
    assert exif.orientation(block) == 1


def test_the_shortest_exif_block() -> None:
    assert exif.orientation(b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0") == 6
    assert exif.orientation(b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0") == 6


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"cat/".ljust(257, b"\0") + b"ustar  \0", "a tar archive"),
        (b"\xfd7zXZ\0", "an xz archive"),
        (b"BZh91AY", "a bzip2 archive"),
        (b"\x28\xb5\x2f\xfd", "a zstd archive"),
        (b"icns\0\0", "an icon"),
        (b"II*\0" + bytes(20), "a TIFF file"),
        (b"\0\0\0\x18ftypheic" + bytes(20), "a HEIC file"),
        (b"\0\0\0\x18ftypavif" + bytes(20), "an AVIF file"),
        (b"\0\0\0\x18ftypmp42" + bytes(20), "a film"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG drawing"),
        (b"version https://git-lfs.github.com/spec/v1", "a pointer of Git LFS"),
        (b"P6\n3 3\n255\n", "a PNM file"),
        (b"<!doctype html><html>", "a web page"),
        (b"\0\0\0\x14ftypqt  " + bytes(20), "a film"),
        (b"\0\0\x0e\x1fmoov" + bytes(20), "a film"),
        (b"\x1a\x45\xdf\xa3\x93\x42\x82\x88matroska", "a film"),
        (b"RIFF\x24\0\0\0AVI LIST", "a film"),
        (b"II*\0\x10\0\0\0CR\2\0" + bytes(20), "a camera's raw file"),
        (b"\0\0\0\x18ftypcrx " + bytes(20), "a camera's raw file"),
        (b"II\x1a\0\0\0HEAPCCDR", "a camera's raw file"),
        (b"FUJIFILMCCD-RAW 0201", "a camera's raw file"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "a JPEG 2000 file"),
        (b"\xff\x0a\xfa\x7f", "a JPEG XL file"),
        (b"8BPS\0\1" + bytes(20), "a Photoshop file"),
        (b"\0\0\2\0\0\0\0\0" + bytes(4) + b"\x40\0\x30\0\x18\0", "a TGA file"),
        (b"\0\0\2\0\1\0\x20\x20" + bytes(20), "a cursor"),
        (bytes(128) + b"DICM", "a DICOM file"),
        (b"v/1\1\2\0\0\0", "an OpenEXR file"),
    ],
)
def test_what_people_have_instead_is_named(data: bytes, name: str) -> None:
    with pytest.raises(ImageError, match=f"not an image of a known kind but {name}"):
        headers.inspect(data)


def test_a_png_that_begins_with_another_chunk_is_damaged(photograph: np.ndarray) -> None:
    data = saved(Image.fromarray(photograph), "PNG")
    with pytest.raises(ImageError, match="damaged PNG"):
        headers.inspect(data[:8] + b"\0\0\0\4gAMA\0\0\0\0" + data[8:])


@pytest.mark.parametrize("bits_and_colours", [b"\x08\x05", b"\x05\x02"])
def test_a_png_of_an_unknown_kind_is_damaged(
    photograph: np.ndarray, bits_and_colours: bytes
) -> None:
    """Colour types are 0, 2, 3, 4 and 6, depths powers of 2 (PNG specification, 11.2.1)."""
    data = bytearray(saved(Image.fromarray(photograph), "PNG"))
    data[24:26] = bits_and_colours
    reason = "damaged PNG \\({} bits of colour type {}\\)".format(*bits_and_colours)
    with pytest.raises(ImageError, match=reason):
        headers.inspect(bytes(data))


def test_a_jpeg_that_ends_within_its_frame_header(photograph: np.ndarray) -> None:
    data = saved(Image.fromarray(photograph), "JPEG")
    with pytest.raises(ImageError, match="ends within its header"):
        headers.inspect(data[: data.index(b"\xff\xc0") + 8])


def test_headers_that_end_early_are_one_line(photograph: np.ndarray) -> None:
    for kind in ("JPEG", "PNG", "GIF", "BMP", "WEBP"):
        data = saved(Image.fromarray(photograph), kind)
        lines = []
        for length in range(60):
            try:
                headers.inspect(data[:length])
            except ImageError as error:
                lines.append(str(error))
        # Ten bytes hold no size in any of these formats.
        assert len(lines) >= 10 and "\n" not in "".join(lines), kind
