"""precision@k and chance against scikit-learn and by hand."""

import numpy as np
import pytest

pytest.importorskip("tensorflow")

from alexnet_tf.retrieval import measure


def test_precision_is_the_share_of_equal_labels():
    neighbors = np.array([[0, 0, 1, 2], [2, 2, 2, 2]])
    assert measure.precision(neighbors, np.array([0, 2])) == (2 + 4) / 8
    assert measure.precision(neighbors[:, :2], np.array([0, 2])) == 1


def test_chance_is_the_probability_of_equal_labels():
    database, queries = np.array([0, 0, 0, 1]), np.array([0, 1, 1, 3])
    by_hand = np.mean([[a == b for a in database] for b in queries])
    assert measure.chance(database, queries) == pytest.approx(by_hand) == 5 / 16


def test_the_whole_measure_equals_scikit_learns(workdir, data_dir):
    pytest.importorskip("faiss")
    neighbors = pytest.importorskip("sklearn.neighbors")
    import alexnet_tf
    from alexnet_tf.inference import images
    from data_prep import dataset

    network = alexnet_tf.load(workdir)
    data = dataset.load(data_dir)
    report = measure.measure(network, data, at=(1, 5), bits=(8,), epochs=1)
    (train,) = images.of_split(data, "train", 100)
    (queries,) = images.of_split(data, "validation", 100)
    assert (report["database"], report["queries"]) == (14, 21)
    # Two training images and three validation images of each of seven classes.
    assert report["chance"] == pytest.approx(1 / 7)
    ways = {
        "fc64": lambda x: network.features(x, ["fc64"])["fc64"],
        # The centre of 38 pixels that the network sees.
        "pixels": lambda x: x[:, 3:35, 3:35].reshape(len(x), -1).astype(np.float64),
    }
    methods = {method["name"]: method for method in report["methods"]}
    assert set(methods) == {"fc64", "pixels", "codes_8"}
    for name, vectors in ways.items():
        searcher = neighbors.NearestNeighbors(n_neighbors=5).fit(vectors(train.images))
        found = train.labels[searcher.kneighbors(vectors(queries.images))[1]]
        for k in (1, 5):
            expected = (found[:, :k] == queries.labels[:, None]).mean()
            assert methods[name]["precision"][str(k)] == pytest.approx(expected)
    assert methods["fc64"]["bytes_per_image"] == 4 * 64
    assert methods["pixels"]["bytes_per_image"] == 32 * 32 * 3
    assert methods["codes_8"]["bytes_per_image"] == 1
    assert all(method["milliseconds_per_query"] > 0 for method in methods.values())
    text = measure.table_text(report)
    assert "21 validation images, neighbours among 14 training images of 7 classes" in text
    assert "14.3%" in text.splitlines()[-1]
