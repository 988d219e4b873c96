"""retrieve as a user runs it: index, query, measure; exit status, one-line errors."""

from __future__ import annotations

import json
import shutil
import sys

import numpy as np
import pytest

pytest.importorskip("tensorflow")
pytest.importorskip("faiss")

from alexnet_tf import retrieve


def call(capsys, *arguments) -> tuple[int, str, str]:
    status = retrieve.call([str(part) for part in arguments])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


@pytest.fixture(scope="module")
def photos(records, tmp_path_factory):
    folder = tmp_path_factory.mktemp("retrieve") / "photos"
    folder.mkdir()
    for number, (data, _) in enumerate(records):
        (folder / f"{number:02d}.jpg").write_bytes(data)
    return folder


@pytest.fixture(scope="module")
def index(workdir, tmp_path_factory):
    folder = tmp_path_factory.mktemp("retrieve") / "index"
    arguments = ["index", f"--workdir={workdir}", "--split=validation", f"--index={folder}"]
    assert retrieve.call([*arguments, "--code_bits=16"]) == 0
    return folder


@pytest.fixture(scope="module")
def features(workdir, records):
    import alexnet_tf

    network = alexnet_tf.load(workdir)
    return network.features([data for data, _ in records], ["fc64"])["fc64"].astype(np.float64)


def test_query_names_the_nearest(index, photos, records, features, capsys):
    status, out, err = call(
        capsys, "query", f"--index={index}", "--neighbors=4", photos / "03.jpg", photos / "11.jpg"
    )
    assert status == 0, err
    results = json.loads(out)
    assert [result["name"] for result in results] == [f"{photos}/03.jpg", f"{photos}/11.jpg"]
    for result, number in zip(results, (3, 11), strict=True):
        distances = np.linalg.norm(features - features[number], axis=1)
        order = np.argsort(distances, kind="stable")[:4]
        found = result["neighbors"]
        assert [n["number"] for n in found] == order.tolist()
        assert [n["name"] for n in found] == [f"validation/{n}" for n in order]
        assert [n["class"] for n in found] == [f"class_{records[n][1]}" for n in order]
        # faiss' float32 sums; the image itself is at distance 0 up to rounding.
        np.testing.assert_allclose(
            [n["distance"] for n in found], distances[order], rtol=1e-3, atol=0.05
        )


def test_query_by_codes_counts_bits(index, photos, features, capsys):
    from alexnet_tf.retrieval import codes

    status, out, _ = call(
        capsys, "query", f"--index={index}", "--by=codes", "--neighbors=21", f"--images={photos}"
    )
    assert status == 0
    packed = codes.load(f"{index}/encoder.npz").encode(features.astype(np.float32))
    bits = np.unpackbits(packed[:, None] ^ packed[None], axis=2).sum(axis=2)
    for result, expected in zip(json.loads(out), bits, strict=True):
        for neighbor in result["neighbors"]:
            # A unit within rounding of its cut may fall on the other side.
            assert abs(neighbor["distance"] - expected[neighbor["number"]]) <= 1


def test_an_index_of_files_has_no_classes_and_is_replaced_whole(workdir, photos, tmp_path, capsys):
    folder = tmp_path / "index"
    for bits in (8, 0):
        status, out, err = call(
            capsys, "index", f"--workdir={workdir}", f"--images={photos}", f"--index={folder}",
            f"--code_bits={bits}", "--layer=conv1",
        )  # fmt: skip
        assert status == 0, err
        assert json.loads(out)["count"] == 21
    assert sorted(path.name for path in folder.iterdir()) == [
        "index.json", "vectors.csv", "vectors.npy",
    ]  # fmt: skip
    status, out, _ = call(capsys, "query", f"--index={folder}", photos / "00.jpg")
    (result,) = json.loads(out)
    assert result["neighbors"][0]["name"] == f"{photos}/00.jpg"
    assert "class" not in result["neighbors"][0]
    assert [path.name for path in tmp_path.iterdir()] == ["index"]


def test_other_weights_than_the_indexs_are_refused(index, other_workdir, photos, capsys):
    status, out, err = call(
        capsys, "query", f"--index={index}", f"--workdir={other_workdir}", photos / "00.jpg"
    )
    assert (status, out) == (1, "")
    assert "has other weights than those that made" in err and err.count("\n") == 1


def test_a_moved_run_is_named_by_hand(workdir, index, photos, tmp_path, capsys):
    moved = tmp_path / "moved"
    shutil.copytree(workdir, moved)
    status, out, _ = call(
        capsys, "query", f"--index={index}", f"--workdir={moved}", photos / "05.jpg"
    )
    assert status == 0 and json.loads(out)[0]["neighbors"][0]["number"] == 5


def test_measure_prints_a_table_and_json(workdir, tmp_path, capsys):
    status, out, err = call(
        capsys, "measure", f"--workdir={workdir}", "--queries=5", "--at=1,3", "--bits="
    )
    assert status == 0
    report = json.loads(out)
    assert [method["name"] for method in report["methods"]] == ["fc64", "pixels"]
    assert "chance" in err and "P@3" in err
    status, out, _ = call(
        capsys, "measure", f"--workdir={workdir}", "--bits=", f"--output={tmp_path}/m.json"
    )
    assert (status, out) == (0, "") and json.loads((tmp_path / "m.json").read_text())[
        "queries"
    ] == 21


def test_without_faiss_the_extra_is_named(workdir, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    status, out, err = call(
        capsys, "index", f"--workdir={workdir}", "--split=validation", f"--index={tmp_path}/i"
    )
    assert (status, out) == (1, "")
    assert err.splitlines()[-1] == (
        "error: faiss is not installed: pip install 'alexnet-tf[retrieve]'"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ([], 2, "no action named; there are index, query, measure"),
        (["indx"], 2, "did you mean index?"),
        (["index", "--workdir=RUN", "--split=train"], 2, "index"),
        (["index", "--workdir=RUN", "--index=NEW"], 2, "either --images"),
        (["index", "--workdir=RUN", "--split=train", "--index=OTHER"], 1, "holds something else"),
        (["index", "--workdir=RUN", "--split=train", "--index=NEW", "--layer=fc6"], 2, "fc64"),
        (["index", "--workdir=RUN", "--split=train", "--index=NEW", "--code_bits=9"], 2, "of 8"),
        (["query", "--index=OTHER", "x.jpg"], 1, "holds no index; python -m alexnet_tf.retrieve"),
        (["query", "--index=INDEX"], 2, "either --images"),
        (["query", "--index=INDEX", "nowhere.jpg"], 1, "nowhere.jpg: no such file"),
        (["query", "--index=INDEX", "--workdir=RUN", "--model=x", "x.jpg"], 2, "either --workdir"),
        (["measure", "--workdir=RUN", "--at=0"], 2, "--at must be 1 or more"),
        (["measure", "--workdir=RUN", "--at=x"], 2, "--at must be whole numbers"),
        (["measure", "--workdir=RUN", "--bits=12"], 2, "a multiple of 8 bits"),
        (["measure", "--workdir=RUN", "extra"], 2, "unexpected argument 'extra'"),
    ],
)
def test_errors_are_one_line(arguments, status, message, workdir, index, tmp_path, capsys):
    other = tmp_path / "other"
    other.mkdir()
    (other / "mine.txt").write_text("mine")
    places = {"RUN": workdir, "NEW": tmp_path / "new", "OTHER": other, "INDEX": index}
    for name, place in places.items():
        arguments = [a.replace(f"={name}", f"={place}") for a in arguments]
    found, out, err = call(capsys, *arguments)
    assert (found, out) == (status, "")
    lines = [line for line in err.splitlines() if not line.startswith(("index:", "features:"))]
    assert len(lines) == 1 and lines[0].startswith("error: ") and message in lines[0]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other"]


def test_a_damaged_index_is_told_of(index, photos, tmp_path, capsys):
    damaged = tmp_path / "index"
    shutil.copytree(index, damaged)
    (damaged / "vectors.csv").write_text("name,label\nonly one,0\n")
    status, _, err = call(capsys, "query", f"--index={damaged}", photos / "00.jpg")
    assert status == 1 and "names and vectors differ in number" in err
    (damaged / "vectors.npy").write_bytes(b"x")
    status, _, err = call(capsys, "query", f"--index={damaged}", photos / "00.jpg")
    assert status == 1 and "is damaged" in err and err.count("\n") == 1


@pytest.mark.parametrize("action", [[], ["index"], ["query"], ["measure"]])
def test_help(capsys, action, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    status, out, _ = call(capsys, *action, "--help")
    assert max(map(len, out.splitlines())) <= 80
    assert status == 0 and "Example:" in out
