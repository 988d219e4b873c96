"""Short binary codes by an auto-encoder, as section 6.1 suggests and does not try.

"... training an auto-encoder to compress these vectors to short binary codes". The form is that of
semantic hashing (Salakhutdinov and Hinton 2009; Krizhevsky and Hinton 2011): noise before the
logistic units of the code makes the network use their ends, so that little is lost when they are
cut to 0 and 1. Each bit is cut at its median, so that it divides the images in halves.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import keras
import numpy as np

from alexnet_common import files
from alexnet_common.errors import UsageError, UserError

# Standard deviation of the noise on the input of a code's logistic unit. Keras' noise has 1 at
# most, so it is added before a factor.
NOISE = 4.0
BATCH_SIZE = 256
ROWS_AT_ONCE = 1 << 14


@dataclass(frozen=True, eq=False)
class Encoder:
    """From features to codes: less their mean, scaled, two layers, cut.

    Attributes:
        mean: float32 [D], of the features.
        scale: float32 [], the same for all of them: what is near stays near.
        hidden, hidden_bias: float32 [D, H], [H]; rectified.
        code, code_bias: float32 [H, bits], [bits].
        cut: float32 [bits]: a bit is 1 above it.
    """

    mean: np.ndarray
    scale: np.ndarray
    hidden: np.ndarray
    hidden_bias: np.ndarray
    code: np.ndarray
    code_bias: np.ndarray
    cut: np.ndarray

    @property
    def bits(self) -> int:
        """Length of a code."""
        return len(self.cut)

    def inputs(self, features: np.ndarray) -> np.ndarray:
        """Inputs of the code's units, float32 [N, bits], from features, float32 [N, D]."""
        x = (features - self.mean) * self.scale
        x = np.maximum(x @ self.hidden + self.hidden_bias, 0)
        inputs: np.ndarray = x @ self.code + self.code_bias
        return inputs

    def encode(self, features: np.ndarray) -> np.ndarray:
        """Codes as packed bits, uint8 [N, bits / 8], of features [N, D], which may lie on disk."""
        parts = [
            np.packbits(self.inputs(features[i : i + ROWS_AT_ONCE]) > self.cut, axis=1)
            for i in range(0, len(features), ROWS_AT_ONCE)
        ]
        return np.concatenate(parts) if parts else np.zeros((0, self.bits // 8), np.uint8)

    def save(self, path: str) -> None:
        """Writes a .npz file, whole or not at all."""
        buffer = io.BytesIO()
        np.savez(buffer, **vars(self))
        files.write_atomically(path, buffer.getvalue())


def load(path: str) -> Encoder:
    """Reads what `save` wrote; raises UserError."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return Encoder(**{name: arrays[name] for name in Encoder.__dataclass_fields__})
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{path}: is damaged or missing ({error})") from error


def check_bits(bits: int) -> None:
    """Raises UsageError where `bits` do not fill bytes."""
    if bits < 8 or bits % 8:
        raise UsageError(f"codes must have a multiple of 8 bits, not {bits}")


def train(
    features: np.ndarray, bits: int, *, epochs: int = 20, seed: int = 0, examples: int = 100_000
) -> Encoder:
    """Trains an auto-encoder on features alone, without labels.

    Args:
        features: float32 [N, D].
        bits: of the code, a multiple of 8.
        epochs: passes over the examples.
        seed: of initial weights, noise, order and choice of examples.
        examples: that are learnt from, at most; others only get their codes.

    Raises:
        UsageError: a number of bits that does not fill bytes.
    """
    check_bits(bits)
    keras.utils.set_random_seed(seed)
    chosen = np.random.default_rng(seed).permutation(len(features))[:examples]
    sample = np.asarray(features[np.sort(chosen)], np.float32)
    mean = sample.mean(axis=0)
    # One factor for all, since codes stand for distances of the features as they are.
    spread = float(np.sqrt(np.square(sample - mean).mean()))
    scale = np.array(1 / max(spread, 1e-6), np.float32)
    x = (sample - mean) * scale
    width = int(np.clip(4 * bits, 64, 1024))
    hidden = keras.layers.Dense(width, activation="relu")
    code = keras.layers.Dense(bits)
    image = keras.Input((x.shape[1],))
    noisy = keras.layers.Rescaling(NOISE)(keras.layers.GaussianNoise(1.0)(code(hidden(image))))
    decoded = keras.layers.Activation("sigmoid")(noisy)
    decoded = keras.layers.Dense(width, activation="relu")(decoded)
    model = keras.Model(image, keras.layers.Dense(x.shape[1])(decoded))
    model.compile(keras.optimizers.Adam(1e-3), "mse")
    model.fit(x, x, batch_size=min(BATCH_SIZE, len(x)), epochs=epochs, verbose=0)
    (w1, b1), (w2, b2) = hidden.get_weights(), code.get_weights()
    uncut = Encoder(mean, scale, w1, b1, w2, b2, np.zeros(bits, np.float32))
    cut = np.median(uncut.inputs(sample), axis=0).astype(np.float32)
    return Encoder(mean, scale, w1, b1, w2, b2, cut)
