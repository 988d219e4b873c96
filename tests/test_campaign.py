"""The campaign of kills, short: `python -m tests.campaign` is the long one."""

import pytest

from tests import campaign

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("workers", "kills"), [(1, 4), (2, 2)])
def test_killed_equals_never_killed(tmp_path, workers, kills):
    runs = campaign.Campaign(tmp_path, kills, workers, seed=1)
    runs.run()
    assert runs.differences == []
    assert len(runs.kills) == kills
    assert all(kill.damaged == 0 for kill in runs.kills)


def test_a_difference_is_found(tmp_path):
    """The comparison itself: one bit of one weight."""
    import numpy as np

    from alexnet_tf.runs import checkpoint

    runs = campaign.Campaign(tmp_path, 1, 1, seed=0)
    for name, value in (("undisturbed", 1.0), ("disturbed", np.nextafter(1.0, 2.0))):
        for folder in ("checkpoints", "best"):
            found = checkpoint.Checkpoint({"fc/bias": np.array([value])}, {}, {"step": 1})
            checkpoint.save(checkpoint.path_of(tmp_path / name / folder, 1), found)
        (tmp_path / name / "metrics.jsonl").write_text('{"step": 1, "timing": {}}\n')
    found = runs._compare()
    assert len(found) == 2
    assert all("fc/bias differs by up to 2.2" in text for text in found)
