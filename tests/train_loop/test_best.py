"""Which epoch's weights are the best."""

from alexnet_tf.runs import checkpoint
from tests.helpers import short_runs, small_dataset


def test_of_equally_good_epochs_the_first_is_the_best(tmp_path):
    data = small_dataset.make(tmp_path / "data", image_size=28, train=16, validation=8)
    settings = short_runs.TINY | {
        "train_epochs": 3,
        # Too little to change any prediction.
        "learning_rate.initial": 1e-30,
        "log.tensorboard": "false",
        "log.report": "false",
    }
    assert short_runs.call(short_runs.of_settings(data, tmp_path / "run", settings)) == 0
    assert checkpoint.steps(tmp_path / "run" / "best") == [2]
    state = checkpoint.load_newest(tmp_path / "run" / "checkpoints").state
    assert state["epoch"] == 3
    assert (state["best"]["epoch"], state["best"]["step"]) == (1, 2)
