"""The dialect of the 2012 files, their errors, and how definitions and parameters pair."""

import re
import textwrap
from pathlib import Path

import pytest

from alexnet_tf.tables import summary
from alexnet_tf.tables.cuda_convnet import ini, reader, values
from alexnet_tf.tables.rows import TableError
from tests.tables.cuda_convnet.definitions import CONV, small, write


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("type=conv", "type=conw"), r":12: \[conv\] type=conw: unknown type; did you mean conv"),
        (("filters=16", "filters=x"), r":15: \[conv\] filters=x: must be whole numbers"),
        (("filters=16", ""), r":11: \[conv\] filters: is missing"),
        (("channels=3", "channels=4"), r"\[conv\] channels=4: the image yields 8x8x3 values"),
        (("filterSize=3", "filterSize=13"), r"filterSize=13: is larger than the padded image"),
        (("padding=1", "padding=1,1"), r"padding=1,1: must have 1 value, one per input, not 2"),
        (("padding=1", "padding=-1"), r"padding=-1: must be 0 or more"),
        (("inputs=data", "inputs=dat"), r"'dat' is not an earlier layer; did you mean data"),
        (("initW=0.1", "initW=0.1\nneuron=rellu"), r"neuron=rellu: unknown neuron"),
        (("initW=0.1", "initW=0.1\nneuron=tanh"), r"takes 2 numbers"),
        (("initW=0.1", "initW=0.1\ngroups=2"), r"groups=2: must divide 3 channels"),
        (("initW=0.1", "initW=-0.1"), r"cfg:\d+: \[conv\] initW=-0.1: must be 0 or more"),
        (("initW=0.1", "initW 0.1"), r"'initW 0.1' is neither key=value nor \[section\]"),
        (
            ("filterSize=3", "filtrSize=3"),
            r":11: \[conv\] filterSize: is missing; line 16 has filtrSize",
        ),
        (
            ("type=conv", "Typ=conv"),
            r":11: \[conv\] type: is missing; line 12 has Typ, which is no k",
        ),
        (("type=conv", "\ttype=conv"), r":12: 'type=conv' is indented"),
        (
            ("padding=1", "padding=1\n[conv]\nfilters=x"),
            r"begins in lines 11 and 18, which are read",
        ),
        (
            ("padding=1\n", "padding=1\n  "),
            r"padding=1\ninitW=0.1: must.*indented lines below belong",
        ),
    ],
)
def test_errors_name_file_line_section_and_key(tmp_path, change, message):
    with pytest.raises(ini.DefinitionError, match=r"layers-small.cfg:\d+: "):
        small(tmp_path, CONV.replace(*change), "conv")
    with pytest.raises(ini.DefinitionError, match=message):
        small(tmp_path, CONV.replace(*change), "conv")


def test_structural_errors(tmp_path):
    with pytest.raises(ini.DefinitionError, match="no layer reads conv"):
        small(tmp_path, CONV)
    with pytest.raises(ini.DefinitionError, match="cannot be read"):
        reader.read(str(tmp_path / "nothing.cfg"))
    path = write(tmp_path, "[data]\ntype=data\ndataIdx=0\n")
    with pytest.raises(ini.DefinitionError, match="no layer reads data"):
        reader.read(path)
    path = write(tmp_path, "type=data\n")
    with pytest.raises(ini.DefinitionError, match="before any"):
        reader.read(path)
    two = "[x]\ntype=eltmax\ninputs=data\n"
    with pytest.raises(ini.DefinitionError, match="eltmax takes at least 2 inputs, not 1"):
        small(tmp_path, two, "x")


def test_a_missing_parameter_section_is_fatal_and_one_too_many_is_not(tmp_path):
    params = "[fc]\nepsW=0.1\nepsB=0.1\nmomW=0.9\nmomB=0.9\n[logprob]\ncoeff=1\n[extra]\nx=1\n"
    path = write(tmp_path, params, "layer-params-x.cfg")
    assert small(tmp_path, layer_params=path).row("fc").kernels[0].momentum == 0.9
    with pytest.raises(ini.DefinitionError, match=r"conv needs a section \[conv\]"):
        small(tmp_path, CONV, "conv", layer_params=path)


def test_the_dialect(tmp_path):
    text = """\
    # comment
    ; comment
    rem comment, as in old batch files
    [one] text after the bracket is ignored
    Key = value
    colon: value ; a comment after a blank
    hash=value # no comment
    semicolon=a;b
    empty=""
    long = first
      second

      third
    percent=100%%
    other=%(key)s!
    [two]
    key=1
    [one]
    key=later
    """
    path = tmp_path / "x.cfg"
    path.write_bytes(textwrap.dedent(text).replace("\n", "\r\n").encode())
    sections = ini.read(str(path))
    assert list(sections) == ["one", "two"]
    values = {key: option.value for key, option in sections["one"].options.items()}
    assert values == {
        "key": "later",
        "colon": "value",
        "hash": "value # no comment",
        "semicolon": "a;b",
        "empty": "",
        "long": "first\nsecond\nthird",
        "percent": "100%",
        "other": "later!",
    }
    assert sections["one"].options["key"].line == 19


@pytest.mark.parametrize(
    "text", ["[a]\nx=1\n [b]\ny=2", "[a]\nx=%y\n", "[a]\nx=%(b)s\n", " [a]\nx=1\n", "[a]\nx\n"]
)
def test_what_the_dialect_refuses(text):
    with pytest.raises(ini.DefinitionError):
        ini.parse(text, "x.cfg")


def test_byte_order_mark(tmp_path):
    path = tmp_path / "x.cfg"
    path.write_bytes(b"\xef\xbb\xbf[a]\nx=1\n")
    assert ini.read(str(path))["a"].options["x"].value == "1"
    with pytest.raises(ini.DefinitionError):
        ini.read(str(path), strict=True)


def test_where_comments_continuations_and_names_begin():
    # Sections 1.1, 1.3 and 1.4 of the page.
    text = "[a]\nx=1\n  # goes on\ny = p:q=r\nREM no\nrem\tno\nremark=2\nu=1 ;c ;d\nv=;w\n"
    text += "\n [b] c\n[ c ]\nx=3\n"
    sections = ini.parse(text, "x.cfg")
    values = {name: {k: o.value for k, o in s.options.items()} for name, s in sections.items()}
    assert values == {
        "a": {"x": "1\n# goes on", "y": "p:q=r", "remark": "2", "u": "1", "v": ";w\n[b] c"},
        " c ": {"x": "3"},
    }


def test_line_ends_of_old_editors(tmp_path):
    path = tmp_path / "x.cfg"
    path.write_bytes(b"[a]\rx=1\ry=2\r")
    values = {key: option.value for key, option in ini.read(str(path))["a"].options.items()}
    assert values == {"x": "1", "y": "2"}


def test_split_sections_are_merged(tmp_path):
    # Two files of the archive divide a section; one loses `enable` where the last one wins.
    params = (
        "[hs]\nenable=false\n[fc]\nepsW=0.1\nepsB=0.1\nmomW=0.9\nmomB=0.9\n[logprob]\ncoeff=1\n"
    )
    params += "[hs]\nquantF=half\n"
    path = write(tmp_path, params, "layer-params-x.cfg")
    net = small(tmp_path, "[hs]\ntype=hs\ninputs=data\nkeep=0.8\n", "hs", layer_params=path)
    assert not net.row("hs").enabled and net.row("hs").keep == 0.8
    assert any("quantF=half" in note for note in net.notes)


def test_defaults_of_all_sections_come_from_one_called_default():
    sections = ini.parse("[DEFAULT]\nx=1\ny=2\n[a]\ny=3\n[default]\nz=%(x)s0\n", "x.cfg")
    values = {name: {k: o.value for k, o in s.options.items()} for name, s in sections.items()}
    assert values == {"a": {"x": "1", "y": "3"}, "default": {"x": "1", "y": "2", "z": "10"}}


def test_case_of_names_and_keys(tmp_path):
    conv = CONV.replace("filterSize", "FILTERSIZE").replace("initW", "InItW")
    assert small(tmp_path, conv, "conv").row("conv").kernels[0].size == 3
    for wrong in (("type=conv", "type=Conv"), ("inputs=data", "inputs=Data")):
        with pytest.raises(ini.DefinitionError):
            small(tmp_path, CONV.replace(*wrong), "conv")
    with pytest.raises(ini.DefinitionError, match="unknown neuron"):
        small(tmp_path, CONV + "neuron=ReLU\n", "conv")


def test_booleans(tmp_path):
    for text, shared in (("Yes", True), ("on", True), ("0", False), ("OFF", False)):
        net = small(tmp_path, CONV + f"sharedBiases={text}\n", "conv")
        assert net.row("conv").shared_biases is shared
    with pytest.raises(ini.DefinitionError, match="sharedBiases=2: must be true or false"):
        small(tmp_path, CONV + "sharedBiases=2\n", "conv")
    # In lists whatever is not true is false, even "yes".
    assert small(tmp_path, CONV + "randSparse=yes\n", "conv").row("conv").kernels[0].groups == 1


def test_keys_that_nobody_knows_change_nothing(tmp_path):
    strange = small(tmp_path, CONV + "padding2=7\nneuron2=rellu\n", "conv")
    assert strange.layers == small(tmp_path, CONV, "conv").layers


@pytest.mark.parametrize(
    ("kind", "inputs", "message"),
    [
        ("fc", "", "has an empty name"),
        ("pool", "data,data", "pool takes 1 input, not 2"),
        ("treefc", "data,data", "treefc takes 1 input, not 2"),
        ("hs", "data,data", "hs takes 1 input,"),
        ("softmax", "data,data", "softmax takes 1 input,"),
        ("rnorm", "data,data", "rnorm takes 1 input,"),
        ("nailbed", "data,data", "nailbed takes 1 input,"),
        ("eltmax", "data", "eltmax takes at least 2 inputs"),
        ("cost.gsum2", "data", "cost.gsum2 takes 2 inputs"),
        ("cost.sum2", "data,data", "cost.sum2 takes 1 input,"),
    ],
)
def test_numbers_of_inputs(tmp_path, kind, inputs, message):
    with pytest.raises(ini.DefinitionError, match=message):
        small(tmp_path, f"[x]\ntype={kind}\ninputs={inputs}\n", "x")


BARE = {
    "local": "channels=3\nfilters=16\nfilterSize=3\ninitW=1",
    "treefc": "initW=1",
    "cmrnorm": "channels=3\nsize=2",
    "rnorm": "channels=3\nsize=2",
    "cnorm": "channels=3\nsize=2",
    "hs": "keep=0.5",
    "pool": "pool=rand\nchannels=3\nsizeX=2\nstride=2",
}


@pytest.mark.parametrize("kind", BARE)
def test_types_that_need_a_parameter_section(tmp_path, kind):
    params = "[fc]\nepsW=0.1\nepsB=0.1\nmomW=0.9\nmomB=0.9\n[logprob]\ncoeff=1\n"
    path = write(tmp_path, params, "layer-params-x.cfg")
    text = f"[x]\ntype={kind}\ninputs=data\n{BARE[kind]}\n"
    with pytest.raises(ini.DefinitionError, match=rf"{kind} needs a section \[x\]"):
        small(tmp_path, text, "x", layer_params=path, tree=(1, -1))


@pytest.mark.parametrize("kind", ["softmax", "eltsum", "neuron", "concat"])
def test_types_that_need_none_may_say_how_copies_are_rounded(tmp_path, kind):
    params = "[fc]\nepsW=0.1\nepsB=0.1\nmomW=0.9\nmomB=0.9\n[logprob]\ncoeff=1\n"
    text = f"[x]\ntype={kind}\nneuron=relu\ninputs=data\n"
    path = write(tmp_path, params, "layer-params-x.cfg")
    assert not any("quant" in n for n in small(tmp_path, text, "x", layer_params=path).notes)
    path = write(tmp_path, params + "[x]\nquantB=half\n", "layer-params-x.cfg")
    assert any("quantB" in n for n in small(tmp_path, text, "x", layer_params=path).notes)
    # The layer that neuron= stood for in 2012 had a section of its own.
    path = write(tmp_path, params + "[x_neuron]\nquantF=half\n", "layer-params-x.cfg")
    assert any("quantF" in n for n in small(tmp_path, text, "x", layer_params=path).notes)
    path = write(tmp_path, params + "[x]\nquantF=whole\n", "layer-params-x.cfg")
    with pytest.raises(ini.DefinitionError, match="quantF=whole: must be default or half"):
        small(tmp_path, text, "x", layer_params=path)


@pytest.mark.parametrize("kind", ["conv", "fc"])
def test_a_scale_in_the_definition_stands_for_a_section_of_norms_only(tmp_path, kind):
    # Section 1.11: in the dialect of 2011 "no parameter section for norms".
    params = "[fc]\nepsW=0.1\nepsB=0.1\nmomW=0.9\nmomB=0.9\n[logprob]\ncoeff=1\n"
    path = write(tmp_path, params, "layer-params-x.cfg")
    text = CONV.replace("type=conv", f"type={kind}\noutputs=3\nscale=1")
    with pytest.raises(ini.DefinitionError, match=rf"{kind} needs a section \[conv\]"):
        small(tmp_path, text, "conv", layer_params=path)


NAMES = """
[pixels]
type=data
dataIdx=0
[truth]
type=data
dataIdx=1
[v]
type=fc
inputs=pixels
outputs=64
initW=1
[x]
type=conv
inputs=v
channels=4
filters=3
filterSize=1
initW=1
[{name}]
type=conv
inputs=v,x
channels=4,3
filters=3,3
filterSize=1,1
initW=1,1
[shared]
type=conv
inputs=v
channels=4
filters=3
filterSize=1
initW=1
weightSource={name}
[fc]
type=fc
inputs={name},shared
outputs=10
initW=1,1
[probs]
type=softmax
inputs=fc
[cost]
type=cost.logreg
inputs=truth,probs
"""


@pytest.mark.parametrize("name", ["data", "labels", "image", "conv1/7x7", "x_input0", "tower a"])
def test_layers_may_have_any_name(tmp_path, name):
    """Those of the image and of the labels are the table's own, and Keras takes no slash."""
    layers = write(tmp_path, NAMES.format(name=name))
    rates = {"v": "1", "x": "1", name: "0.25,0.5", "shared": "1", "fc": "1,1"}
    params = "[cost]\ncoeff=1\n" + "".join(
        f"[{layer}]\nepsW={rate}\nepsB=1\nmomW={rate}\nmomB=1\n" for layer, rate in rates.items()
    )
    net = reader.read(layers, write(tmp_path, params, "layer-params-x.cfg"), input_size=8)
    # v: 8 x 8 x 3 x 64 + 64; x: 4 x 3 + 3; the layer: 4 x 3 + 3 x 3 + 3; shared: 3; both yield
    # 4 x 4 x 3, so fc: 96 x 10 + 10.
    assert summary.parameter_count(net) == 12352 + 15 + 24 + 3 + 970
    momenta = [[kernel.momentum for kernel in getattr(row, "kernels", ())] for row in net.layers]
    assert [0.25, 0.5] in momenta
    keras = pytest.importorskip("keras")
    from alexnet_tf.model import build

    if " " in name and keras.__version__.startswith("2."):
        with pytest.raises(TableError, match="layer 'tower a.*': Keras 2.* rename it"):
            build.build(net)
    else:
        assert build.build(net).output_shape == (None, 10)


def test_names_of_data(tmp_path):
    text = "[pixels]\ntype=data\ndataIdx=0\n" + CONV.replace("inputs=data", "inputs=pixels")
    net = small(tmp_path, text, "conv,data", init="0.1,0.1")
    assert net.row("conv").inputs == ("data",) and net.row("fc").inputs == ("conv", "data")
    with pytest.raises(ini.DefinitionError, match="dataIdx=3: must be 0 .* no other data"):
        small(tmp_path, "[x]\ntype=data\ndataIdx=3\n", "x")


def test_gpus_are_columns_and_strictly_numbered(tmp_path):
    columns = CONV + "gpu=1\n[next]\ntype=neuron\nneuron=relu\ninputs=conv\n"
    net = small(tmp_path, columns, "next")
    assert net.row("conv").column == 1 and net.row("next").column == 1
    assert small(tmp_path, columns, "next", gpus=2).num_columns == 2
    with pytest.raises(ini.DefinitionError, match="gpu=1: must be from 0 to 0"):
        small(tmp_path, columns, "next", gpus=1)
    with pytest.raises(ini.DefinitionError, match="gpu=-1: must be from 0 to 7"):
        small(tmp_path, CONV + "gpu=-1\n", "conv")
    with pytest.raises(ini.DefinitionError, match="gpu=8: must be from 0 to 7"):
        small(tmp_path, columns.replace("gpu=1", "gpu=8"), "next")


def test_what_nobody_reads_is_named_with_what_may_be_meant(tmp_path):
    params = "[fc]\nepsW=0.1\nepsB=0.1\nmomW=0.9\nmomB=0.9\nwcc=1\n[logprob]\ncoeff=1\n"
    params += "[rnorm7]\nscale=1\n"
    path = write(tmp_path, params, "layer-params-x.cfg")
    text = "[x]\ntype=pool\npool=max\ninputs=data\nchannels=3\nsizeX=3\nstride=2\nstrat=-1\n"
    notes = small(tmp_path, text, "x", layer_params=path).notes
    assert any("[x] strat=-1: has no meaning here; did you mean start" in n for n in notes)
    (decay,) = [n for n in notes if "wcc" in n]
    assert "layer-params-x.cfg:6: [fc] wcc=1: has no meaning here; did you mean wc" in decay
    assert any("layers that are not there: rnorm7" in n for n in notes)
    clean = write(tmp_path, params.replace("wcc", "wc").split("[rnorm7]")[0], "layer-params-x.cfg")
    notes = small(tmp_path, text.replace("strat", "start"), "x", layer_params=clean).notes
    assert not any("has no meaning" in n or "not there" in n for n in notes)


def test_what_is_said_twice_is_noted(tmp_path):
    text = CONV.replace("filters=16", "filters=8\nFilters=16").replace("initW", "Padd=1\ninitW")
    net = small(tmp_path, text + "[labels]\n[conv]\npadding=0\n", "conv")
    assert net.row("conv").filters == 16 and net.row("conv").kernels[0].padding == 0
    said = "\n".join(note.rpartition("layers-small.cfg")[2] for note in net.notes)
    assert ":16: [conv] Filters=16: counts instead of the value in line 15" in said
    assert ":24: [conv] padding=0: counts instead of the value in line 18" in said
    assert ": [conv] begins in lines 11 and 23, which are read as one" in said
    assert ": [labels] begins in lines 6 and 22, which are read as one" in said
    assert ":19: [conv] Padd=1: has no meaning here; did you mean padding?" in said


def test_every_key_that_is_asked_for_is_spelt_in_the_list(tmp_path):
    """A key missing from the list would be called none where another one is missing."""
    asked = r"\.(?:text|has|integers?|numbers?|booleans?|names|texts)\(\s*\"(\w+)\""
    folder = Path(reader.__file__).parent
    used = {key for file in folder.glob("*.py") for key in re.findall(asked, file.read_text())}
    # Section 4.5: one old notation asks for `sched`.
    assert {"filterSize", "epsB", "coeff", "momW"} <= used <= set(values.KEYS.values())


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("epsW", "nan", "must be numbers"),
        ("epsB", "inf", "must be a number"),
        ("momW", "1.5", "from 0 to 1"),
        ("momB", "-0.1", "from 0 to 1"),
    ],
)
def test_numbers_that_cannot_train_are_refused(tmp_path, key, value, message):
    options = {"epsW": "0.1", "epsB": "0.1", "momW": "0.9", "momB": "0.9"} | {key: value}
    params = "[fc]\n" + "".join(f"{k}={v}\n" for k, v in options.items()) + "[logprob]\ncoeff=1\n"
    path = write(tmp_path, params, "layer-params-x.cfg")
    with pytest.raises(ini.DefinitionError, match=rf"\[fc\] {key}={value}: .*{message}"):
        small(tmp_path, "[x]\ntype=softmax\ninputs=data\n", "x", layer_params=path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PK\x03\x04\0\0\0", "is not a text file"),
        ("[data]\n".encode("utf-16"), "is not a text file"),
        (b"x" * 9000, r"'x{60}\.\.\.' stands before any"),
        (b"[fc]\nepsW=1\n", "is not a layer-definition file: no section has a type"),
    ],
)
def test_files_of_another_kind_are_said_to_be(tmp_path, content, message):
    path = tmp_path / "layers-x.cfg"
    path.write_bytes(content)
    with pytest.raises(ini.DefinitionError, match=message) as error:
        reader.read(str(path))
    assert len(str(error.value)) < 300
    definition = write(tmp_path, "[data]\ntype=data\ndataIdx=0\n", "layers-y.cfg")
    with pytest.raises(ini.DefinitionError, match="is not a layer-parameter file: a section has"):
        reader.read(str(definition), str(definition))


def test_images_of_different_sides_name_the_line(tmp_path):
    text = "".join(
        f"[{name}]\ntype=pool\npool=max\ninputs=data\nchannels=3\nsizeX={size}\nstride={size}\n"
        for name, size in (("p", 2), ("q", 4))
    )
    text += "[x]\ntype=conv\ninputs=p,q\nchannels=3,3\nfilters=4,4\nfilterSize=1,1\ninitW=1,1\n"
    with pytest.raises(ini.DefinitionError, match=r"layers-.*:\d+: \[x\].*different sides"):
        small(tmp_path, text, "x")
