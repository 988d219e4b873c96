"""Which epoch's weights are the best."""

from alexnet_common import command
from alexnet_tf import train
from alexnet_tf.runs import checkpoint
from tests.helpers import small_dataset


def test_of_equally_good_epochs_the_first_is_the_best(tmp_path):
    data = small_dataset.make(tmp_path / "data", image_size=28, train=16, validation=8)
    settings = {
        "data_dir": data,
        "network.input_size": 24,
        "network.filters": "(8,8,8)",
        "network.hidden": 16,
        "batch_size": 8,
        "train_epochs": 3,
        # Too little to change any prediction.
        "learning_rate.initial": 1e-30,
        "log.tensorboard": "false",
        "log.report": "false",
    }
    argv = ["--config=demo", f"--workdir={tmp_path / 'run'}"]
    argv += [f"--config.{key}={value}" for key, value in settings.items()]
    assert command.call(train.define_flags, train.main, train.__doc__, argv) == 0
    assert checkpoint.steps(tmp_path / "run" / "best") == [2]
    state = checkpoint.load_newest(tmp_path / "run" / "checkpoints").state
    assert state["epoch"] == 3
    assert (state["best"]["epoch"], state["best"]["step"]) == (1, 2)
