"""The update rule of section 5 against a recurrence written by hand, and against other rules."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from alexnet_tf.model.layers import VariableSettings
from alexnet_tf.optim import optimizer as optimizers


def settings(rate=1.0, decay=0.0, momentum=None):
    return VariableSettings("row/kernel", rate, decay, None, momentum)


def run(optimizer, start, gradients, rates=None):
    """Applies one gradient after another to one variable and returns its values."""
    variable = tf.Variable(start, dtype=tf.float32)
    optimizer.build([variable])
    values = []
    for number, gradient in enumerate(gradients):
        if rates:
            optimizer.learning_rate = rates[number]
        optimizer.apply_gradients([(tf.constant(gradient, tf.float32), variable)])
        values.append(variable.numpy().copy())
    return np.array(values)


def test_five_steps_of_the_papers_rule_with_a_drop_of_the_rate():
    """v <- 0.9 v - 0.0005 rate w - rate g; w <- w + v. Old velocity keeps the old rate."""
    random = np.random.default_rng(0)
    start, gradients = random.normal(size=3), random.normal(size=(5, 3))
    rates = [0.01, 0.01, 0.01, 0.001, 0.001]
    w, v, expected = start.copy(), np.zeros(3), []
    for rate, gradient in zip(rates, gradients, strict=True):
        v = 0.9 * v - 0.0005 * rate * w - rate * gradient
        w = w + v
        expected.append(w)
    optimizer = optimizers.PaperSGD([settings(decay=0.0005)], 0.01, 0.9)
    assert np.allclose(run(optimizer, start, gradients, rates), expected, rtol=1e-6, atol=1e-8)


def test_two_hundred_steps_end_where_the_reference_says():
    """From w = 1 with a constant gradient of 0.1 and rate 0.01; no decay would end at -0.91."""
    w, v = 1.0, 0.0
    for _ in range(200):
        v = 0.9 * v - 0.0005 * 0.01 * w - 0.01 * 0.1
        w += v
    optimizer = optimizers.PaperSGD([settings(decay=0.0005)], 0.01, 0.9)
    found = run(optimizer, np.ones(1), np.full((200, 1), 0.1))[-1]
    assert np.allclose(found, w, atol=1e-5)
    assert -0.912 < w < -0.9105


def test_decay_shrinks_as_the_paper_says_not_as_keras_does():
    """Without gradients: e^-1 after 1 / (rate decay 10) steps, where Keras' own is at e^-0.1."""
    zeros = np.zeros((2000, 1))
    paper = optimizers.PaperSGD([settings(decay=0.005)], 0.01, 0.9)
    assert np.isclose(run(paper, np.ones(1), zeros)[-1, 0], np.exp(-1), rtol=1e-2)
    theirs = keras.optimizers.SGD(0.01, momentum=0.9, weight_decay=0.005)
    assert np.isclose(run(theirs, np.ones(1), zeros)[-1, 0], np.exp(-0.1), rtol=1e-2)


def test_equals_keras_with_half_the_decay_as_l2_loss():
    """Keras' L2(l) has the gradient 2 l w: L2(0.00025) is the paper's 0.0005."""
    random = np.random.default_rng(1)
    start = random.normal(size=(4, 5)).astype(np.float32)
    targets = random.normal(size=(6, 4, 5)).astype(np.float32)
    regularizer = keras.regularizers.L2(0.00025)
    theirs, ours = tf.Variable(start), tf.Variable(start)
    keras_sgd = keras.optimizers.SGD(0.05, momentum=0.9)
    paper = optimizers.PaperSGD([settings(decay=0.0005)], 0.05, 0.9)
    for optimizer, variable in ((keras_sgd, theirs), (paper, ours)):
        optimizer.build([variable])
        for target in targets:
            with tf.GradientTape() as tape:
                loss = tf.reduce_sum((variable - target) ** 2)
                if optimizer is keras_sgd:
                    loss += regularizer(variable)
            gradient = tape.gradient(loss, variable)
            optimizer.apply_gradients([(gradient, variable)])
    assert np.allclose(theirs.numpy(), ours.numpy(), rtol=1e-5, atol=1e-6)


def test_multipliers_decays_and_momenta_belong_to_their_variables():
    random = np.random.default_rng(2)
    gradients = random.normal(size=(4, 3))
    each = [settings(1, 0.1), settings(2, 0), settings(1, 0.1, 0.5), settings(0, 0.1)]
    variables = [tf.Variable(1.0) for _ in each]
    optimizer = optimizers.PaperSGD(each, 0.1, 0.9)
    optimizer.build(variables)
    for gradient in gradients[:, 0]:
        optimizer.apply_gradients([(tf.constant(gradient, tf.float32), v) for v in variables])
    for variable, chosen in zip(variables, each, strict=True):
        w, v = 1.0, 0.0
        momentum = 0.9 if chosen.momentum is None else chosen.momentum
        for gradient in gradients[:, 0]:
            rate = 0.1 * chosen.learning_rate_multiplier
            v = momentum * v - rate * (gradient + chosen.weight_decay * w)
            w += v
        if chosen.learning_rate_multiplier == 0:
            w = 1.0
        assert np.isclose(variable.numpy(), w, rtol=1e-5)


def test_state_goes_out_and_in():
    gradients = np.random.default_rng(3).normal(size=(6, 3))
    whole = run(optimizers.PaperSGD([settings(decay=0.01)], 0.1, 0.9), np.ones(3), gradients)
    first = optimizers.PaperSGD([settings(decay=0.01)], 0.1, 0.9)
    half = run(first, np.ones(3), gradients[:3])
    second = optimizers.PaperSGD([settings(decay=0.01)], 0.5, 0.9)
    variable = tf.Variable(half[-1])
    second.build([variable])
    optimizers.load_state(second, optimizers.state(first))
    for gradient in gradients[3:]:
        second.apply_gradients([(tf.constant(gradient, tf.float32), variable)])
    assert np.array_equal(variable.numpy(), whole[-1])


def test_state_of_another_network_is_refused():
    one, two = tf.Variable(1.0), tf.Variable(1.0)
    first = optimizers.PaperSGD([settings()], 0.1, 0.9)
    first.build([one])
    second = optimizers.PaperSGD([settings(), settings()], 0.1, 0.9)
    second.build([one, two])
    with pytest.raises(ValueError, match="differs"):
        optimizers.load_state(second, optimizers.state(first))


def test_learning_rate_reads_as_written():
    optimizer = optimizers.PaperSGD([settings()], 0.01, 0.9)
    assert optimizers.learning_rate(optimizer) == 0.01
    optimizer.learning_rate = 0.001
    assert optimizers.learning_rate(optimizer) == 0.001


def test_equals_pytorch_until_the_rate_changes():
    """PyTorch keeps the rate outside its velocity, so after a drop old velocity follows it."""
    torch = pytest.importorskip("torch", reason="needs PyTorch, which is no dependency")
    random = np.random.default_rng(5)
    start, gradients = random.normal(size=4), random.normal(size=(10, 4))
    rates = [0.1] * 6 + [0.01] * 4
    theirs = torch.tensor(start, dtype=torch.float32, requires_grad=True)
    sgd = torch.optim.SGD([theirs], 0.1, momentum=0.9, weight_decay=0.05)
    expected = []
    for rate, gradient in zip(rates, gradients, strict=True):
        sgd.param_groups[0]["lr"] = rate
        theirs.grad = torch.tensor(gradient, dtype=torch.float32)
        sgd.step()
        expected.append(theirs.detach().numpy().copy())
    optimizer = optimizers.PaperSGD([settings(decay=0.05)], 0.1, 0.9)
    found = run(optimizer, start, gradients, rates)
    assert np.allclose(found[:6], expected[:6], rtol=1e-5, atol=1e-6)
    assert abs(found[6] - expected[6]).max() > 0.01
