"""Numbers of TFRecord files and protocol buffers."""

import pytest

from alexnet_common import tfrecord


@pytest.mark.parametrize(
    ("value", "expected"),
    # 150 is the example of the protocol buffers' documentation: seven bits to a byte, lowest first.
    [(0, b"\x00"), (1, b"\x01"), (127, b"\x7f"), (150, b"\x96\x01"), (196_608, b"\x80\x80\x0c")],
)
def test_varints_are_those_of_protocol_buffers(value, expected):
    assert tfrecord.varint(value) == expected
