"""Pieces of the TFRecord format that the converter writes and the trainer checks."""

from __future__ import annotations

import google_crc32c


def masked(crc: int) -> int:
    """A CRC-32C rotated right by 15 bits, plus a constant (tensorflow/core/lib/hash/crc32c.h).

    A checksum of data that holds checksums would be weak; masked ones are safe.
    """
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def masked_crc(data: bytes) -> int:
    """The checksum of a payload or a length."""
    return masked(google_crc32c.value(data))


def varint(value: int) -> bytes:
    """A number of at least 0 as protocol buffers write it: seven bits to a byte."""
    result = bytearray()
    while value > 0x7F:
        result.append(value & 0x7F | 0x80)
        value >>= 7
    result.append(value)
    return bytes(result)
