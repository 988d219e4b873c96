"""The net of run 114, whose file is not at hand, written from its description."""

from alexnet_tf.tables import summary
from alexnet_tf.tables.cuda_convnet import reader


def tower(c, other):
    return f"""
    [conv1{c}]
    type=conv
    inputs=data
    channels=3
    filters=32
    filterSize=11
    stride=4
    initW=0.01
    partialSum=5
    gpu={"ab".index(c)}

    [pool1{c}]
    type=pool
    pool=max
    inputs=conv1{c}
    sizeX=3
    stride=2
    channels=32
    neuron=relu

    [rnorm1{c}]
    type=cmrnorm
    inputs=pool1{c}
    channels=32
    size=9

    [conv2{c}]
    type=conv
    inputs=nails0,rnorm1{c}
    channels=3,32
    filters=128,128
    filterSize=5,5
    stride=2,1
    padding=0,2
    initW=0.01,0.01
    initB=1
    partialSum=3
    neuron=relu
    gpu={"ab".index(c)}

    [rnorm2{c}]
    type=cmrnorm
    inputs=conv2{c}
    channels=128
    size=9

    [pool2{c}]
    type=pool
    pool=max
    inputs=rnorm2{c}
    sizeX=3
    stride=2
    channels=128
    """


def upper(c, other):
    gpu = "ab".index(c)
    return f"""
    [conv3{c}]
    type=conv
    inputs=pool2{c},pool2{other}
    channels=128,128
    filters=192,192
    filterSize=3,3
    padding=1,1
    initW=0.03,0.03
    partialSum=13
    neuron=relu
    gpu={gpu}

    [conv4{c}]
    type=conv
    inputs=conv3{c}
    channels=192
    filters=192
    filterSize=3
    padding=1
    initW=0.03
    partialSum=13
    neuron=relu

    [conv5{c}]
    type=conv
    inputs=conv4{c}
    channels=192
    filters=128
    filterSize=3
    padding=1
    initW=0.03
    partialSum=13

    [pool3{c}]
    type=pool
    pool=max
    inputs=conv5{c}
    sizeX=3
    stride=2
    channels=128
    neuron=relu
    """


def fc(name, inputs, outputs, gpu, neuron="relu"):
    count = inputs.count(",") + 1
    return f"""
    [{name}]
    type=fc
    inputs={inputs}
    outputs={outputs}
    initW={",".join(["0.01"] * count)}
    neuron={neuron}
    gpu={gpu}
    """


def hs(name, source):
    return f"""
    [{name}]
    type=hs
    inputs={source}
    keep=0.5
    """


def test_run_114_with_its_low_resolution_branch(tmp_path):
    # Not in the data; written from the description (section 6.1), which gives its counts.
    text = """
    [data]
    type=data
    dataIdx=0

    [labels]
    type=data
    dataIdx=1

    [blur0]
    type=blur
    inputs=data
    channels=3
    filterSize=9
    stdev=4
    gpu=0

    [nails0]
    type=nailbed
    inputs=blur0
    channels=3
    stride=4
    """
    text += tower("a", "b") + tower("b", "a") + upper("a", "b") + upper("b", "a")
    below = "pool3a,pool3b"
    for level, mark in enumerate(("", "b", "c"), start=1):
        for gpu, c in enumerate("ab"):
            text += fc(f"fc3072{mark}{c}", below, 3072, gpu)
            text += hs(f"hs{level}{c}", f"fc3072{mark}{c}")
        below = f"hs{level}a,hs{level}b"
    text += fc("fc1000", below, 1000, 0, "ident")
    text += """
    [probs]
    type=softmax
    inputs=fc1000

    [logprob]
    type=cost.logreg
    inputs=labels,probs
    gpu=0
    """
    path = tmp_path / "layers-114.cfg"
    path.write_text("\n".join(line.strip() for line in text.split("\n")))
    net = reader.read(str(path), strict=True)
    layers = {layer.name: layer for layer in summary.layers(net)}
    assert layers["nails0"].shape == (56, 56, 3)
    assert layers["conv2a"].shape == (27, 27, 128)
    assert layers["conv2a"].parameters == 112_128
    assert layers["fc3072a"].parameters == 28_314_624
    assert layers["fc3072ca"].parameters == 18_877_440
    assert summary.parameter_count(net) == 140_523_240
