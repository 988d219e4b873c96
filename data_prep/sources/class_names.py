"""What may be the name of a class: one rule for folders, label files and labels beside images."""

from alexnet_common.errors import UserError
from data_prep.sources import unicode_forms

# Names become those of files, and file systems take as many bytes.
_MAX_BYTES = 255


def check(path: str, name: str) -> None:
    """Refuses what would be the name of no folder, which classes mostly have.

    Slashes within a name are taken: Fashion-MNIST's "T-shirt/top" is such a class.

    Args:
        path: the source, for messages.
        name: of a class.

    Raises:
        UserError: it is not UTF-8, has line breaks, is too long, or would lead to another folder.
    """
    problem = _problem(name)
    if problem is not None:
        raise UserError(f"{path}: {name[:_MAX_BYTES]!r} cannot be the name of a class: {problem}")


def _problem(name: str) -> str | None:
    if not unicode_forms.is_utf8(name):
        return "it is not UTF-8; rename its folder (convmv -f latin1 -t utf8 does it)"
    if not unicode_forms.is_one_line(name):
        return "it has a line break or control character; rename it"
    if len(name.encode()) > _MAX_BYTES:
        return f"it is longer than {_MAX_BYTES} bytes; rename it"
    if any(not part or part.startswith(".") for part in name.split("/")):
        return "it is empty, or begins with a dot or slash; rename it"
    return None
