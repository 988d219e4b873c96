"""What is raised for a file that is not converted."""


class ImageError(Exception):
    """A file that cannot be converted; the message is the reason, without the file's name."""
