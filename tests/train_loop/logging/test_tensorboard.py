"""What TensorBoard gets of a run: curves, kernels, histograms, profiles."""

import numpy as np
import pytest

from alexnet_tf.model import build
from alexnet_tf.pictures import kernels as kernel_pictures
from alexnet_tf.train_loop.logging.chosen import recipe_text
from alexnet_tf.train_loop.logging.profile import Profile
from alexnet_tf.train_loop.logging.tensorboard import TensorBoard
from tests.helpers import run_records


@pytest.fixture(scope="module")
def model():
    from alexnet_tf import recipes
    from alexnet_tf.tables import table

    settings = {"network.input_size": "24", "network.filters": "(8,8,8)", "network.hidden": "16"}
    config = recipes.resolve(recipes.load("demo"), list(settings.items()))
    return build.build(table.from_config(config.network, 3))


def events(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder), size_guidance={"tensors": 0})
    found.Reload()
    return found


def watch_two_epochs(watcher):
    for epoch in range(2):
        watcher.begin_epoch(epoch, 10 * epoch)
        watcher.interval(run_records.interval(step=10 * epoch + 5, gradient_norm=7.0))
        watcher.steps_done(10 * epoch + 5)
        watcher.end_epoch(run_records.epoch(epoch=epoch + 1, step=10 * epoch + 10))
    watcher.end_run()
    watcher.close()


def test_tensorboard_files(tmp_path, model):
    import tensorflow as tf

    variables = build.named_variables(model)
    watch_two_epochs(TensorBoard(tmp_path, variables, histograms_every_epochs=2))
    train, validation = events(tmp_path / "train"), events(tmp_path / "validation")
    scalars = {"loss", "top_1_error", "top_5_error"}
    assert set(validation.Tags()["tensors"]) == scalars
    weights = {f"weights/{name}" for name in variables}
    more = {"learning_rate", "norms/parameter_norm", "norms/gradient_norm", "kernels/conv1"}
    more |= {"timing/images_per_second", "timing/data_wait"}
    assert set(train.Tags()["tensors"]) == scalars | more | weights
    steps = {tag: [event.step for event in train.Tensors(tag)] for tag in scalars | more | weights}
    assert steps["loss"] == steps["norms/gradient_norm"] == [5, 15]
    assert steps["kernels/conv1"] == [0, 10, 20]
    assert steps["weights/conv1a/kernel"] == [20]
    assert float(tf.make_ndarray(validation.Tensors("loss")[0].tensor_proto)) == 2.0

    width, height, *pictures = tf.make_ndarray(train.Tensors("kernels/conv1")[0].tensor_proto)
    picture = tf.io.decode_png(pictures[0]).numpy()
    assert picture.shape == (int(height), int(width), 3)
    kernels = [build.named_variables(model)[f"conv1{column}/kernel"].numpy() for column in "ab"]
    # The smallest and the largest weight of both columns are the only full black and full white
    # inside kernels; borders are white.
    assert (picture == 0).any()
    expected = kernel_pictures.draw(kernels)
    assert np.array_equal(picture, expected)


def test_curves_come_in_a_useful_order_and_say_what_they_are(tmp_path, model):
    board = TensorBoard(tmp_path, build.named_variables(model), recipe="**demo**")
    watch_two_epochs(board)
    train = events(tmp_path / "train")
    tags = train.Tags()["tensors"]
    scalars = sorted(
        tag for tag in tags if train.SummaryMetadata(tag).plugin_data.plugin_name == "scalars"
    )
    assert scalars[:2] == ["learning_rate", "loss"]
    assert all(train.SummaryMetadata(tag).summary_description for tag in scalars)
    (recipe,) = train.Tensors("recipe")
    assert recipe.tensor_proto.string_val[0] == b"**demo**" and recipe.step == 0


def test_the_recipe_as_text():
    from alexnet_tf import recipes

    text = recipe_text(recipes.resolve(recipes.load("demo")))
    assert text.startswith("**demo**\n")
    assert "| config.learning_rate.initial | `0.005` |" in text.splitlines()


def test_no_histograms_unless_asked(tmp_path, model):
    watch_two_epochs(TensorBoard(tmp_path, build.named_variables(model)))
    tags = events(tmp_path / "train").Tags()["tensors"]
    assert not [tag for tag in tags if tag.startswith("weights/")]


def test_the_loss_scale_is_drawn(tmp_path, model):
    board = TensorBoard(tmp_path, build.named_variables(model))
    board.interval(run_records.interval(loss_scale=16384.0, skipped_updates=0))
    board.close()
    assert {"precision/loss_scale", "precision/skipped_updates"} < set(
        events(tmp_path / "train").Tags()["tensors"]
    )


@pytest.fixture
def profiler():
    """Stands in for TensorFlow's, and notes when it is started and stopped."""

    class Profiler:
        def __init__(self):
            self.calls = []

        def start(self, folder):
            self.calls.append("start")

        def stop(self):
            self.calls.append("stop")

    return Profiler()


def test_the_profiler_records_the_chosen_steps(tmp_path, model, profiler):
    def updates(steps, begin, end):
        """What is called between updates begin + 1 ... end of a run with 5 steps per epoch."""
        watcher = Profile(tmp_path, steps, build.named_variables(model), profiler=profiler)
        profiler.calls.clear()
        watcher.begin_epoch(begin // 5, begin)
        for step in range(begin, end):
            if step % 5 == 0 and step > begin:
                watcher.begin_epoch(step // 5, step)
            profiler.calls.append(step + 1)
            watcher.steps_done(step + 1)
        watcher.close()
        return list(profiler.calls)

    assert updates((2, 3), 0, 4) == [1, "start", 2, 3, "stop", 4]
    assert updates((6, 6), 3, 8) == [4, 5, "start", 6, "stop", 7, 8]
    assert updates((1, 2), 0, 3) == ["start", 1, 2, "stop", 3]
    # A run that is resumed among the chosen steps, after them, or that ends among them.
    assert updates((2, 4), 2, 6) == ["start", 3, 4, "stop", 5, 6]
    assert updates((1, 2), 2, 4) == [3, 4]
    assert updates((2, 9), 0, 3) == [1, "start", 2, 3, "stop"]
    assert updates((), 0, 2) == [1, 2]


@pytest.mark.parametrize("quiet", [False, True])
def test_where_the_profile_lies_is_said_unless_quiet(tmp_path, model, profiler, capsys, quiet):
    variables = build.named_variables(model)
    watcher = Profile(tmp_path, (1, 1), variables, quiet=quiet, profiler=profiler)
    watcher.begin_epoch(0, 0)
    watcher.steps_done(1)
    said = capsys.readouterr().err
    assert said == ("" if quiet else f"profile of steps 1 to 1: {tmp_path}/plugins/profile\n")


@pytest.mark.slow
def test_the_profile_is_written(tmp_path, model):
    watcher = Profile(tmp_path, (1, 2), build.named_variables(model))
    watcher.begin_epoch(0, 0)
    for step in range(1, 4):
        model(np.zeros((1, 24, 24, 3), np.float32))
        watcher.steps_done(step)
    assert list(tmp_path.glob("plugins/profile/*/*.xplane.pb"))
