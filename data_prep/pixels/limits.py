"""How many pixels are decoded: a small file may claim any number of them."""

from data_prep.pixels.errors import ImageError

# So that a worker stays below 1.5 GB, or 2 GB for a WebP, which Pillow holds four times: a square
# of 8192 pixels, more than any photograph that a camera of ILSVRC's years took.
MAX_PIXELS = 1 << 26


def check_size(kind: str, width: int, height: int) -> None:
    """Refuses sizes that are not decoded.

    Raises:
        ImageError: no pixel, or more than `MAX_PIXELS`.
    """
    if height < 1 or width < 1:
        raise ImageError(f"{kind} without pixels ({width}x{height})")
    if height * width > MAX_PIXELS:
        raise ImageError(
            f"{width}x{height} pixels are more than the {MAX_PIXELS:,} that are decoded"
        )
