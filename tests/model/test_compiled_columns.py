"""Where a network of two columns is cut for XLA, by hand."""

import dataclasses

from alexnet_tf.model import compiled_columns
from alexnet_tf.tables import rows, table

DEVICES = ("first", "second")


def named(parts):
    return [
        (part.device, [row.name for row in part.layers], part.inputs, part.outputs)
        for part in parts
    ]


def test_the_papers_network_is_cut_where_its_columns_read_each_other():
    paper = table.from_config({"name": "alexnet"}, 1000)
    stem = ("conv1", "lrn1", "pool1", "conv2", "lrn2", "pool2")
    middle = ("conv3", "conv4", "conv5", "pool5")
    expected = []
    for device, own in zip(DEVICES, "ab", strict=True):
        expected += [
            (device, [name + own for name in stem], ("data",), (f"pool2{own}",)),
            (device, [name + own for name in middle], ("pool2a", "pool2b"), (f"pool5{own}",)),
            (device, [f"fc6{own}", f"dropout6{own}"], ("pool5a", "pool5b"), (f"dropout6{own}",)),
            (
                device,
                [f"fc7{own}", f"dropout7{own}"],
                ("dropout6a", "dropout6b"),
            )
            + ((f"dropout7{own}",),),
        ]
    expected.append(("first", ["fc8"], ("dropout7a", "dropout7b"), ("fc8",)))
    made = named(compiled_columns.parts(paper, DEVICES))
    assert sorted(made) == sorted(expected)
    # Each comes after those that it reads, and the two of a stage stand together.
    seen = {"data"}
    for _, _, inputs, outputs in made:
        assert seen >= set(inputs)
        seen |= set(outputs)
    assert [device for device, *_ in made] == [*DEVICES * 4, "first"]


def kernels(number, source=""):
    return (rows.Filters(size=3, padding=1, init_stddev=0.1, source=source),) * number


def test_what_has_no_column_or_shares_another_columns_kernel_is_not_compiled():
    def conv(name, reads, column, source=""):
        return rows.Conv(
            name=name, inputs=(reads,), column=column, filters=3, kernels=kernels(1, source)
        )

    layers = (
        rows.Neuron(name="before", inputs=(rows.IMAGE,), neuron="relu"),
        conv("x", "before", 0),
        conv("y", "before", 1),
        conv("same", "x", 0, "x/kernel"),
        conv("other", "y", 1, "x/kernel"),
        conv("after", "other", 1),
        conv("unread", "x", 0),
        rows.Sum(name="sum", inputs=("same", "after"), coefficients=(1.0, 1.0)),
    )
    net = table.Table("net", layers, input_size=8, num_classes=3)
    net.shapes()
    assert sorted(named(compiled_columns.parts(net, DEVICES))) == sorted(
        [
            ("", ["before"], ("data",), ("before",)),
            ("first", ["x", "same"], ("before",), ("same",)),
            ("second", ["y"], ("before",), ("y",)),
            ("", ["other"], ("y",), ("other",)),
            ("second", ["after"], ("other",), ("after",)),
            ("", ["sum"], ("same", "after"), ("sum",)),
        ]
    )
    assert [row.name for row in net.needed_layers()] == [
        row.name for row in layers if row.name != "unread"
    ]
    # A second cost reads that row after all.
    costs = dataclasses.replace(
        net, more_costs=(rows.Cost(name="two", kind="sum2", output="unread"),)
    )
    first = compiled_columns.parts(costs, DEVICES)[1]
    assert [row.name for row in first.layers] == ["x", "same", "unread"]
    assert first.outputs == ("same", "unread")
    # Of rows that are read where they are and elsewhere too.
    both = dataclasses.replace(net, layers=(*layers[:-1], conv("top", "x", 1)))
    assert named(compiled_columns.parts(both, DEVICES)) == [
        ("", ["before"], ("data",), ("before",)),
        ("first", ["x"], ("before",), ("x",)),
        ("second", ["top"], ("x",), ("top",)),
    ]
