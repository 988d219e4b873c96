"""Training batches as the network sees them: cropped and mirrored by the device."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import tensorflow as tf

from alexnet_tf.input import preprocess


def crop(batches: Iterable[dict[str, tf.Tensor]], side: int) -> Iterator[dict[str, np.ndarray]]:
    """What `pipeline.training_batches` yields, with `image` cut as each batch says."""
    for batch in batches:
        found = {key: value.numpy() for key, value in batch.items()}
        drawn = found.pop("offset", None), found.pop("flip", None)
        yield found | {"image": preprocess.cut(batch["image"], *drawn, side).numpy()}
