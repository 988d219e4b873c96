"""Small definition files for tests of their reader."""

import textwrap

from alexnet_tf.tables.cuda_convnet import reader

SMALL = """
[data]
type=data
dataIdx=0

[labels]
type=data
dataIdx=1

{middle}

[fc]
type=fc
inputs={top}
outputs=10
initW={init}

[probs]
type=softmax
inputs=fc

[logprob]
type=cost.logreg
inputs=labels,probs
"""

CONV = """
[conv]
type=conv
inputs=data
channels=3
filters=16
filterSize=3
padding=1
initW=0.1
partialSum=4
"""


def write(tmp_path, text, name="layers-x.cfg"):
    path = tmp_path / name
    path.write_text(textwrap.dedent(text))
    return str(path)


def small(tmp_path, middle="", top="data", init="0.1", **options):
    path = tmp_path / "layers-small.cfg"
    path.write_text(SMALL.format(middle=textwrap.dedent(middle), top=top, init=init))
    return reader.read(str(path), **{"input_size": 8} | options)
