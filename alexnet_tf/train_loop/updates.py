"""The updates of a run as compiled calls, and what they return."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from alexnet_tf.evaluation.metrics import SUMS, Sums
from alexnet_tf.input import pipeline
from alexnet_tf.optim.schedules import learning_rate
from alexnet_tf.optim.schedules.learning_rate import Rates
from alexnet_tf.train_loop import step
from alexnet_tf.train_loop.run import Run


class Controls(NamedTuple):
    """What the host tells the updates of one call.

    Attributes:
        stop: 1.0 if this worker wants to stop, else 0.0.
        noise_factor: standard deviation of the colour noise in units of the recipe's.
        dropout_key: int64, of the run's seed: no constant of the compiled step, so that runs with
            other seeds can share it.
    """

    stop: tf.Tensor
    noise_factor: tf.Tensor
    dropout_key: tf.Tensor


class StepResult(NamedTuple):
    """What updates yield: float32 [steps] on the device; a number each once it is fetched.

    Attributes:
        loss, top_1_errors, top_5_errors, examples: sums over the global batch, as `metrics.Sums`
            names them.
        gradient_norm: of the sum over all replicas, before clipping.
        stop_requests: how many replicas' workers want to stop.
    """

    loss: Any
    top_1_errors: Any
    top_5_errors: Any
    examples: Any
    gradient_norm: Any
    stop_requests: Any

    @property
    def sums(self) -> Sums:
        """Those over the global batch."""
        return Sums(self.loss, self.top_1_errors, self.top_5_errors, self.examples)


def fetch(results: Sequence[StepResult]) -> list[StepResult]:
    """The results of some calls as Python floats, one per step; waits for the device.

    Raises:
        tf.errors.OpError: of the device, or of another worker.
    """
    if not results:
        return []
    columns = [tf.concat(column, 0).numpy() for column in zip(*results, strict=True)]
    rows = np.stack(columns, axis=1).astype(np.float64).tolist()
    return [StepResult(*row) for row in rows]


class Updates:
    """The updates of a run, compiled: of one global batch, and of several in one call.

    This is the only place that gives rates to the optimizer.
    """

    def __init__(self, run: Run):
        # The number of the next of single updates, on the device: a number that is copied there
        # for each of them has to wait until the update before it has ended.
        with run.distribution.strategy.scope():
            self._number = tf.Variable(
                0,
                dtype=tf.int64,
                trainable=False,
                aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
            )
        self._number_on_device = 0
        self._one, self._several, self._resident = _compile(run, self._number)
        self.begin(run)

    def begin(self, run: Run) -> None:
        """Turns to a run that differs from the one it was compiled for in its seed alone.

        Args:
            run: with the same model, optimizer and preprocessing: the objects themselves.
        """
        self._run = run
        self._rates: Rates | None = None
        self._controls: dict[tuple[bool, float], Controls] = {}

    def one(self, batch: Any, first: int, stop: bool = False) -> StepResult:
        """Update `first`, counted from 0, with a batch that lies ready.

        Args:
            batch: of `Run.training_batches`, as `Distribution.iterate` yields it.
            first: the update's number.
            stop: whether this worker wants to stop.
        """
        controls = self._prepare(first, stop)
        if first != self._number_on_device:
            self._number.assign(first)
        self._number_on_device = first + 1
        return self._one(batch, controls)

    def several(self, batches: Iterator, first: int, number: int, stop: bool = False) -> StepResult:
        """`number` updates from `first` on, which take their batches inside the call.

        With several replicas each is a call of its own: there TensorFlow (2.21) returns nothing of
        what a loop around them has collected.
        """
        if self._run.distribution.replicas.total > 1:
            steps = range(first, first + number)
            results = [self.one(next(batches), step, stop) for step in steps]
            return StepResult(*(tf.concat(column, 0) for column in zip(*results, strict=True)))
        controls = self._prepare(first, stop)
        first_step, count = tf.constant(first, tf.int64), tf.constant(number, tf.int64)
        return self._several(batches, first_step, count, controls)

    def resident(self, epoch: Any, first: int, number: int, stop: bool = False) -> StepResult:
        """`number` updates from `first` on with a resident set, without the host between them.

        Args:
            epoch: that holds all of them, of `Run.training_epochs`.
            first: the first update's number.
            number: at most config.steps_per_call.
            stop: whether this worker wants to stop.
        """
        controls = self._prepare(first, stop)
        first_step, count = tf.constant(first, tf.int64), tf.constant(number, tf.int64)
        return self._resident(epoch, first_step, count, controls)

    def set_rates(self, step: int) -> None:
        """Gives the optimizer the rates of update `step`."""
        rates = self._run.rule.rates_at(step)
        # Setting a variable costs more than asking whether it is needed.
        if rates != self._rates:
            learning_rate.apply(rates, self._run.optimizer)
            self._rates = rates

    def _prepare(self, step: int, stop: bool) -> Controls:
        self.set_rates(step)
        assert self._rates is not None
        values = stop, noise_factor(self._rates.color_noise, self._run.prepare.noise_stddev)
        if values not in self._controls:
            key = pipeline.seed_key(self._run.config.seed, pipeline.DROPOUT)
            stop_value, factor = map(tf.constant, map(float, values))
            controls = Controls(stop_value, factor, tf.constant(key, tf.int64))
            self._controls = {values: controls}
        return self._controls[values]


def noise_factor(wanted: float | None, drawn: float) -> float:
    """Factor on the colour noise that the pipeline draws.

    Args:
        wanted: standard deviation that the learning-rate rule asks for; None: the recipe's.
        drawn: the recipe's, with which the pipeline draws.
    """
    return 1.0 if wanted is None or not drawn else wanted / drawn


Update = Callable[[Any, tf.Tensor, Controls], StepResult]


def _compile(run: Run, counter: tf.Variable) -> tuple[Any, Any, Any]:
    """What `Updates.one`, `several` and `resident` call."""
    distribution, jit_compile = run.distribution, run.config.jit_compile
    # XLA compiles what one device computes: the whole update there; what each replica computes
    # before its gradients travel; of columns on devices of their own what each computes between
    # two exchanges.
    columns = distribution.column_devices(run.table.num_columns)
    one_device = distribution.replicas.total == 1 and not columns
    jit_update = True if jit_compile and one_device else None
    update = tf.function(
        _update(run, compile_gradients=jit_compile and not one_device),
        jit_compile=jit_update,
        autograph=False,
    )

    @tf.function(jit_compile=jit_update, autograph=False)
    def one(batch: Any, controls: Controls) -> StepResult:
        result = update(batch, counter.read_value(), controls)
        counter.assign_add(1)
        return StepResult(*(value[None] for value in result))

    @tf.function(autograph=False)
    def several(
        batches: Any, first: tf.Tensor, number: tf.Tensor, controls: Controls
    ) -> StepResult:
        def body(ahead: tf.Tensor, rows: tf.TensorArray) -> tuple[tf.Tensor, tf.TensorArray]:
            result = update(batches.get_next(), first + ahead, controls)
            return ahead + 1, rows.write(tf.cast(ahead, tf.int32), tf.stack(result))

        rows = tf.TensorArray(tf.float32, size=tf.cast(number, tf.int32))
        _, rows = tf.while_loop(
            lambda ahead, _: ahead < number, body, (tf.zeros([], tf.int64), rows)
        )
        return StepResult(*tf.unstack(rows.stack(), num=len(StepResult._fields), axis=1))

    return one, several, _resident(run, update)


def _update(run: Run, *, compile_gradients: bool) -> Update:
    """One update over all replicas, from a global batch to scalars."""
    config, distribution, scale = run.config, run.distribution, run.loss_scale
    replica_step = step.make_train_step(
        run.model,
        run.optimizer,
        run.prepare,
        table=run.table,
        batch_size=config.batch_size,
        accumulation_steps=config.accumulation_steps,
        clip_global_norm=config.optimizer.clip_global_norm,
        skip_not_finite=scale is not None and scale.dynamic,
        column_devices=distribution.column_devices(run.table.num_columns),
        compile_gradients=compile_gradients,
    )

    def one_replica(
        batch: Any, number: tf.Tensor, count: tf.Tensor, controls: Controls, factor: Any
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        sums, norm = replica_step(
            batch, number, count, controls.noise_factor, controls.dropout_key, factor
        )
        return sums, norm, tf.identity(controls.stop)

    def update(batch: Any, number: tf.Tensor, controls: Controls) -> StepResult:
        """Update `number` of the run; scalars."""
        before = (number % run.steps_per_epoch) * config.batch_size
        count = tf.cast(tf.minimum(run.examples - before, config.batch_size), tf.float32)
        factor = None if scale is None else scale.factor()
        arguments = (batch, number, count, controls, factor)
        sums, norms, wishes = distribution.strategy.run(one_replica, arguments)
        # It is of the sum over all replicas, and so the same on each.
        norm = distribution.strategy.experimental_local_results(norms)[0]
        if scale is not None:
            scale.adjust(tf.math.is_finite(norm))
        total = Sums(*tf.unstack(distribution.sum(sums), num=len(SUMS)))
        return StepResult(*total, norm, distribution.sum(wishes))

    return update


def _resident(run: Run, update: Update) -> Any:
    """Up to config.steps_per_call updates in one call, with batches of a set on the device."""
    config = run.config
    # On GPUs one program for a whole call, between whose updates the host does nothing. On CPUs XLA
    # computes convolutions in loops twenty times slower than outside: there each update is one.
    whole = config.jit_compile and "GPU" in run.distribution.device_kinds()

    @tf.function(jit_compile=True if whole else None, autograph=False)
    def updates_of(
        epoch: dict[str, tf.Tensor], first: tf.Tensor, number: tf.Tensor, controls: Controls
    ) -> tf.Tensor:
        """float32 [steps_per_call, a StepResult's fields], of which the first `number` count."""

        def body(ahead: tf.Tensor, rows: tf.TensorArray) -> tuple[tf.Tensor, tf.TensorArray]:
            batch = run.batch_of(epoch, (first + ahead) % run.steps_per_epoch)
            result = update(batch, first + ahead, controls)
            return ahead + 1, rows.write(tf.cast(ahead, tf.int32), tf.stack(result))

        kind = [len(StepResult._fields)]
        rows = tf.TensorArray(tf.float32, size=max(1, config.steps_per_call), element_shape=kind)
        _, rows = tf.while_loop(
            lambda ahead, _: ahead < number,
            body,
            (tf.zeros([], tf.int64), rows),
            parallel_iterations=1,
        )
        return rows.stack()

    @tf.function(autograph=False)
    def resident(
        epoch: dict[str, tf.Tensor], first: tf.Tensor, number: tf.Tensor, controls: Controls
    ) -> StepResult:
        rows = updates_of(epoch, first, number, controls)[:number]
        return StepResult(*tf.unstack(rows, num=len(StepResult._fields), axis=1))

    return resident
