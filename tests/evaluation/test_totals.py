"""Totals of errors and losses: from sums, together, and as shares."""

import numpy as np
import pytest

from alexnet_tf.evaluation import evaluator, predict
from alexnet_tf.tables import rows

COSTS = (
    rows.Cost(name="softmax", kind="logreg", output="fc"),
    rows.Cost(name="squares", kind="sum2", output="fc"),
)
# Loss, top-1 and top-5 errors, images; behind them loss and top-1 errors of each cost.
SUMS = np.array([14.0, 2, 1, 4, 6.0, 1, 8.0, 0])


def test_sums_are_named():
    found = evaluator.Errors.from_sums(SUMS, COSTS)
    assert (found.loss_sum, found.top_1_errors, found.top_5_errors, found.count) == (14, 2, 1, 4)
    # Squares have no best class to be wrong about.
    assert found.costs == {"softmax": (6, 1), "squares": (8, None)}
    assert evaluator.Errors.from_sums(SUMS[:4]) == evaluator.Errors(14, 2, 1, 4, {})


def test_means_are_over_images():
    found = evaluator.Errors.from_sums(SUMS, COSTS).as_dict()
    assert found == {
        "loss": 3.5, "top_1_error": 0.5, "top_5_error": 0.25,
        "top_1_errors": 2, "top_5_errors": 1, "count": 4,
        "costs": {"softmax": {"loss": 1.5, "top_1_error": 0.25}, "squares": {"loss": 2.0}},
    }  # fmt: skip
    assert "costs" not in evaluator.Errors.from_sums(SUMS[:4]).as_dict()


def test_totals_add_up():
    both = evaluator.Errors.from_sums(SUMS, COSTS) + evaluator.Errors.from_sums(3 * SUMS, COSTS)
    assert both == evaluator.Errors.from_sums(4 * SUMS, COSTS)
    assert both.costs["softmax"] == (24, 4) and both.costs["squares"] == (32, None)


@pytest.mark.parametrize("kind", ["crossent2", "rflickr", "sum2", "gsum2"])
def test_only_a_softmax_has_errors_of_its_own(kind):
    cost = rows.Cost(name="other", kind=kind, output="fc")
    assert evaluator.Errors.from_sums(SUMS[:6], (cost,)).costs == {"other": (6, None)}


def test_ten_views_have_the_centre_among_them():
    assert predict.view_counts(1) == (1,) and predict.view_counts(10) == (1, 10)
