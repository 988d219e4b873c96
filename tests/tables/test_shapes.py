"""Rows that do not fit what they read are refused in a line that names the row."""

import pytest

from alexnet_tf.tables import rows, shapes


def filters(size=3, **more):
    return rows.Filters(init_stddev=0.01, size=size, **more)


def conv(count=8, inputs=1, **more):
    names = tuple(f"in{number}" for number in range(inputs))
    return rows.Conv(name="x", inputs=names, filters=count, kernels=(filters(**more),) * inputs)


def pool(size, stride, **more):
    return rows.Pool(name="x", inputs=("in0",), kind="max", size=size, stride=stride, **more)


def one(kind, **more):
    return kind(name="x", inputs=("in0",), **more)


IMAGE = (8, 8, 6)


@pytest.mark.parametrize(
    ("row", "inputs", "reason"),
    [
        (conv(size=9), [IMAGE], "x: a window of 9 does not fit 8 pixels with padding 0"),
        (conv(groups=4), [IMAGE], "x: 6 channels cannot form 4 groups"),
        (conv(8, groups=3), [IMAGE], "x: 8 filters cannot form 3 groups"),
        (conv(), [(100,)], "x: needs an image, but its input is a vector of 100"),
        (conv(inputs=2), [IMAGE, (9, 9, 6)], "images of different sides: [6, 7]"),
        (conv(inputs=2), [IMAGE], "x: 2 kernels, where 1 are needed"),
        (pool(9, 1, rounding="floor"), [IMAGE], "x: a window of 9 does not fit 8 pixels"),
        (pool(10, 2), [IMAGE], "x: a window of 10 does not fit 8 pixels"),
        (pool(2, 4, outputs=3), [IMAGE], "a window lies wholly outside the 8 pixels"),
        (one(rows.Slice, begin=4, size=3), [IMAGE], "x: channels end at 6"),
        (one(rows.Reinterpret, channels=3), [(99,)], "99 values are not a square image of 3"),
        (
            rows.Sum(name="x", inputs=("a", "b"), coefficients=(1.0, 1.0)),
            [IMAGE, (8, 8, 3)],
            "x: its inputs have different shapes",
        ),
    ],
)
def test_rows_that_do_not_fit(row, inputs, reason):
    with pytest.raises(shapes.ShapeError) as raised:
        shapes.output_shape(row, inputs)
    assert reason in str(raised.value)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        # 8 pixels hold 6 windows of 3; at stride 2 three fit, a fourth reaches beyond the edge.
        (conv(), (6, 6, 8)),
        (conv(stride=2), (4, 4, 8)),
        (conv(stride=2, rounding="floor"), (3, 3, 8)),
        (pool(9, 2), (1, 1, 6)),
        (pool(2, 3, outputs=3), (3, 3, 6)),
        (one(rows.Slice, begin=4, size=2), (8, 8, 2)),
        # 384 values: 8 x 8 x 6.
        (one(rows.Reinterpret, channels=0), (384,)),
        (one(rows.Reinterpret, channels=24), (4, 4, 24)),
        (one(rows.Nailbed, stride=3), (3, 3, 6)),
    ],
)
def test_rows_that_just_fit(row, expected):
    assert shapes.output_shape(row, [IMAGE]) == expected
