"""Cost layers of the 2012 files, and what stands between them and the labels."""

import textwrap

import pytest

from alexnet_tf.tables import summary
from alexnet_tf.tables.cuda_convnet import ini, reader
from alexnet_tf.tables.rows import TableError
from tests.tables.cuda_convnet.definitions import SMALL, write

DIFFERENCE = """
[diff]
type=eltsum
inputs=labels,fc
coeffs=1,-1
"""


def with_cost(tmp_path, tail, width=10, neuron="logistic", **options):
    text = SMALL.format(middle="", top="data", init="0.1")
    text = text[: text.index("[probs]")].replace("initW", f"neuron={neuron}\ninitW")
    text = text.replace("outputs=10", f"outputs={width}")
    path = write(tmp_path, text + textwrap.dedent(tail))
    return reader.read(path, input_size=8, **options)


def test_a_logistic_function_that_only_the_cost_reads_becomes_its_own(tmp_path):
    tail = "[cost]\ntype=cost.crossent2\ninputs=labels,fc\n"
    net = with_cost(tmp_path, tail)
    assert net.cost.from_logits and net.row("fc").neuron == ""
    assert net.output_name == "fc" and net.num_classes == 10
    assert not any("[0, 1]" in note for note in net.notes)
    assert "cost crossent2 of fc, times 1" in summary.text(net)
    net = with_cost(tmp_path, tail, neuron="ident")
    assert not net.cost.from_logits
    assert "cost: fc is not kept in [0, 1] by a logistic function" in net.notes
    # As a layer of its own the function can go, too.
    alone = "[p]\ntype=neuron\nneuron=logistic\ninputs=fc\n" + tail.replace("labels,fc", "labels,p")
    net = with_cost(tmp_path, alone, neuron="ident")
    assert net.cost.from_logits and net.output_name == "p" and net.row("p").neuron == ""


def test_the_robust_cost_reads_outputs(tmp_path):
    net = with_cost(tmp_path, "[cost]\ntype=cost.rflickr\ninputs=labels,fc\n")
    assert not net.cost.from_logits and net.row("fc").neuron == "logistic"


def test_squares_of_what_eltsum_makes_of_the_labels(tmp_path):
    net = with_cost(tmp_path, DIFFERENCE + "[cost]\ntype=cost.sum2\ninputs=diff\n")
    assert net.output_name == "fc" and [row.name for row in net.layers] == ["fc"]
    (row,) = net.cost.tail
    assert row.inputs == ("labels", "fc") and row.coefficients == (1, -1)
    tail = (
        DIFFERENCE
        + """
    [other]
    type=eltmax
    inputs=fc,labels
    [both]
    type=concat
    inputs=diff,other
    [scaled]
    type=neuron
    neuron=linear[2,0]
    inputs=both
    [cost]
    type=cost.sum2
    inputs=scaled
    """.replace("\n    ", "\n")
    )
    net = with_cost(tmp_path, tail)
    assert [row.name for row in net.cost.tail] == ["diff", "other", "both", "scaled"]
    assert net.output_name == "fc" and [row.name for row in net.layers] == ["fc"]


def test_gates_are_the_labels_of_two_classes(tmp_path):
    tail = "[onehot]\ntype=data\ndataIdx=2\n" + DIFFERENCE.replace("labels", "onehot")
    tail += "[cost]\ntype=cost.gsum2\ninputs=labels,diff\n"
    assert with_cost(tmp_path, tail, width=2).cost.kind == "gsum2"
    with pytest.raises(TableError, match="gate of 0 or 1 for each image .* 10 classes"):
        with_cost(tmp_path, tail)
    gate = tail.replace("labels,diff", "gate,diff").replace(
        "[cost]", "[gate]\ntype=fc\ninputs=data\noutputs=1\ninitW=1\n[cost]"
    )
    with pytest.raises(ini.DefinitionError, match="needs a gate for each image"):
        with_cost(tmp_path, gate, width=2)


def test_one_output_tells_two_classes_apart(tmp_path):
    tail = "[cost]\ntype=cost.crossent2\ninputs=labels,fc\n"
    assert with_cost(tmp_path, tail, width=1).num_classes == 2
    assert with_cost(tmp_path, tail, width=1, num_classes=2).num_classes == 2
    with pytest.raises(TableError, match="1 output, for 2 classes, but the dataset has 7"):
        with_cost(tmp_path, tail, width=1, num_classes=7)


AUXILIARY = """
[early]
type=fc
inputs=data
outputs=10
initW=1
[early_probs]
type=softmax
inputs=early
[early_cost]
type=cost.logreg
inputs=labels,early_probs
[late]
type=fc
inputs=fc
outputs=10
initW=1
[late_probs]
type=softmax
inputs=late
[late_cost]
type=cost.logreg
inputs=labels,late_probs
[penalty]
type=cost.sum2
inputs=fc
"""


def test_of_several_costs_the_deepest_says_what_the_classes_are(tmp_path):
    # Section 4.2: the gradient is that of the sum over the costs of coeff times cost.
    learns = "epsW=0.1\nepsB=0.1\nmomW=0.9\nmomB=0.9\n"
    sections = [f"[{name}]\n{learns}" for name in ("fc", "early", "late")]
    sections += ["[early_cost]\ncoeff=0.3\n", "[late_cost]\ncoeff=1\n[penalty]\ncoeff=0.01\n"]
    params = write(tmp_path, "".join(sections), "layer-params-x.cfg")
    net = with_cost(tmp_path, AUXILIARY, layer_params=params)
    assert (net.cost.name, net.output_name) == ("late_cost", "late")
    assert [(c.name, c.output, c.coefficient) for c in net.more_costs] == [
        ("early_cost", "early", 0.3),
        ("penalty", "fc", 0.01),
    ]
    assert net.cost_outputs == ("late", "early", "fc")
    assert "its 3 costs are added up; the classes of an image come from late_cost" in net.notes
    text = summary.text(net)
    for line in ("logreg of late, times 1", "logreg of early, times 0.3", "sum2 of fc, times 0.01"):
        assert f"cost {line}" in text
    # Of equally deep ones that of the largest coefficient.
    same = AUXILIARY.replace("inputs=fc\noutputs", "inputs=data\noutputs")
    net = with_cost(tmp_path, same, layer_params=params)
    assert (net.cost.name, net.cost.coefficient) == ("late_cost", 1)
    # Then the first of the file.
    both = "[a]\ntype=cost.rflickr\ninputs=labels,fc\n[b]\ntype=cost.crossent2\ninputs=labels,fc\n"
    net = with_cost(tmp_path, both)
    assert (net.cost.name, net.cost_outputs) == ("a", ("fc",))
    # The logistic function is of two costs, and stays a layer's.
    assert not net.more_costs[0].from_logits and net.row("fc").neuron == "logistic"


def test_every_cost_that_reads_labels_has_the_datasets_classes(tmp_path):
    net = with_cost(tmp_path, AUXILIARY, num_classes=4, outputs="dataset")
    # A penalty's layer keeps its size.
    assert [net.row(name).outputs for name in ("late", "early", "fc")] == [4, 4, 10]
    with pytest.raises(TableError, match="has 7 outputs, but the dataset has 10 classes"):
        with_cost(tmp_path, AUXILIARY.replace("outputs=10", "outputs=7", 1), num_classes=10)


FILTERS = "[c]\ntype=conv\nchannels=1\nfilters=16\nfilterSize=1\ninitW=1\n"


@pytest.mark.parametrize(
    ("tail", "message"),
    [
        ("[cost]\ntype=cost.tica\ninputs=fc\n", "cost.tica: is not supported"),
        ("[cost]\ntype=cost.sum2\ninputs=fc\n", "fc does not depend on the labels"),
        ("[cost]\ntype=cost.sum2\ninputs=labels\n", "must end with an eltsum"),
        ("[cost]\ntype=cost.rflickr\ninputs=fc,labels\n", "must name the labels and a layer"),
        ("[cost]\ntype=cost.rflickr\ninputs=labels\n", "takes 2 inputs, not 1"),
        (DIFFERENCE + "[cost]\ntype=cost.rflickr\ninputs=labels,diff\n", "does not read them"),
        (FILTERS + "inputs=labels\n", "conv cannot read the labels"),
        (DIFFERENCE + "[x]\ntype=fc\ninputs=diff\noutputs=2\ninitW=1\n", "fc cannot read the labe"),
        ("[x]\ntype=neuron\nneuron=relu\ninputs=labels\n", "first compared, by eltsum or eltmax"),
        ("[x]\ntype=eltsum\ninputs=labels,data\n", "with a layer that yields a vector"),
        ("[cost]\ntype=cost.logreg\ninputs=labels,fc\n", "fc must be a softmax layer"),
        (
            "[g]\ntype=fc\ninputs=data\noutputs=10\ninitW=1\n"
            "[x]\ntype=eltsum\ninputs=labels,fc,g\n[cost]\ntype=cost.sum2\ninputs=x\n",
            r"with 2 layers \(fc, g\)",
        ),
        (
            "[p]\ntype=softmax\ninputs=fc\nneuron=square\n"
            "[cost]\ntype=cost.logreg\ninputs=labels,p\n",
            "p must not change its softmax by a neuron",
        ),
        (
            "[cost]\ntype=cost.sum2\ninputs=fc\n[two]\ntype=cost.sum2\ninputs=fc\n",
            r"\[cost\]: one of the costs must compare a layer with the labels",
        ),
        (
            "[cost]\ntype=cost.rflickr\ninputs=labels,fc\n[two]\ntype=cost.tica\ninputs=fc\n",
            "cost.tica: is not supported",
        ),
        (DIFFERENCE, "no layer reads diff"),
    ],
)  # fmt: skip
def test_what_has_no_meaning_is_refused_in_one_line(tmp_path, tail, message):
    with pytest.raises(ini.DefinitionError, match=message) as error:
        with_cost(tmp_path, tail)
    assert "\n" not in str(error.value)


HEAD = """
[pool]
type=pool
pool=avg
inputs=data
channels=3
sizeX=8
stride=8
[c]
type=conv
inputs=pool
channels=3
filters=10
filterSize=1
initW=0.1
neuron=logistic
"""


@pytest.mark.parametrize(
    "cost",
    ["[cost]\ntype=cost.crossent2\ninputs=labels,c\n",
     "[cost]\ntype=cost.rflickr\ninputs=labels,c\n",
     "[d]\ntype=eltsum\ninputs=labels,c\ncoeffs=1,-1\n[cost]\ntype=cost.sum2\ninputs=d\n"],
)  # fmt: skip
def test_an_image_is_the_vector_that_a_cost_compares(tmp_path, cost):
    # Section 1.12: every output is a vector per case; 1 x 1 x 10 values are 10 outputs.
    text = SMALL.format(middle=HEAD, top="data", init="0.1").split("[fc]")[0]
    net = reader.read(write(tmp_path, text + cost), input_size=8)
    assert net.num_classes == 10 and net.shapes()[net.output_name] == (10,)
    assert summary.parameter_count(net) == 3 * 10 + 10
    # Of crossent2 the logistic function is the cost's own part.
    assert net.cost.from_logits == ("crossent2" in cost)
    assert net.row("c").neuron == ("" if "crossent2" in cost else "logistic")


def test_coefficient_and_top_k_come_from_the_parameter_file(tmp_path):
    tail = "[cost]\ntype=cost.crossent2\ninputs=labels,fc\n"
    fc = "[fc]\nepsW=0.1\nepsB=0.1\nmomW=0.9\nmomB=0.9\n"
    params = write(tmp_path, fc + "[cost]\ncoeff=0.5\ntopk=3\n", "layer-params-x.cfg")
    net = with_cost(tmp_path, tail, layer_params=params)
    assert (net.cost.coefficient, net.cost.top_k) == (0.5, 3)
    assert any("topk=3: evaluation reports" in note for note in net.notes)
    params = write(tmp_path, fc + "[cost]\n", "layer-params-x.cfg")
    with pytest.raises(ini.DefinitionError, match=r"\[cost\] coeff: is missing"):
        with_cost(tmp_path, tail, layer_params=params)


def test_the_last_layer_takes_the_classes_of_the_dataset_where_it_is_asked_to(tmp_path, files):
    for name, changed in (("145", "fc1000"), ("conv-local-13pct", "fc10")):
        net = reader.read(*files(name), num_classes=7, outputs="dataset")
        assert net.num_classes == 7 and net.row(changed).outputs == 7
        assert reader.read(*files(name), outputs="dataset") == reader.read(*files(name))
        with pytest.raises(TableError, match="has 7 classes; config.network.outputs=dataset"):
            reader.read(*files(name), num_classes=7)
    # A net whose outputs are two layers has no one layer to change.
    with pytest.raises(ini.DefinitionError, match=r"\[concat\] type=concat: concat cannot take"):
        reader.read(*files("146-2011"), num_classes=7, outputs="dataset")
    squares = DIFFERENCE + "[cost]\ntype=cost.sum2\ninputs=diff\n"
    assert with_cost(tmp_path, squares, num_classes=4, outputs="dataset").num_classes == 4
    with pytest.raises(ini.DefinitionError, match="'fc' is not an earlier layer"):
        around = "[fc]\ntype=neuron\ninputs=fc\nneuron=relu\n[c]\ntype=cost.sum2\ninputs=fc\n"
        reader.read(write(tmp_path, around), num_classes=4, outputs="dataset")
    with pytest.raises(TableError, match="outputs must be file or dataset"):
        reader.read(*files("145"), outputs="all")
