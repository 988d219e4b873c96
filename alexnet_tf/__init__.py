"""AlexNet (2012) in TensorFlow. `python -m alexnet_tf` lists the commands.

In Python, a trained network is one call away:

    import alexnet_tf

    network = alexnet_tf.load("runs/photos")        # a work folder, or a file of weights
    network.classify("photo.jpg")                   # [("tabby cat", 0.83), ...]
    network.predict(["a.jpg", "b.jpg"])             # probabilities, float32 [2, classes]
    network.features(["a.jpg"], ["conv5", "fc7"])   # {"conv5": float32 [1, 13, 13, 256], ...}
    network.model                                   # the Keras model; network.preprocess(images)

What `__all__` names is stable: it changes only with a new major version. Importing this package
does not import TensorFlow; `load` does.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from alexnet_common.errors import UserError

if TYPE_CHECKING:
    from alexnet_tf.inference.network import Network

__all__ = ["Network", "UserError", "load"]


def load(
    source: str | os.PathLike[str],
    checkpoint: str = "best",
    *,
    recipe: str = "",
    data_dir: str = "",
) -> Network:
    """Loads a trained network, to compute in float32 on one device, however it was trained.

    Args:
        source: the work folder of a run (also one that still trains), or a file of weights: a
            PyTorch state dict of torchvision's alexnet, Caffe's bvlc_alexnet as .npy or .npz, or a
            .npz file that `alexnet_tf.weights export` wrote.
        checkpoint: of a work folder: "best" (lowest validation error) or "newest".
        recipe: of a .npz file of ours: name or file of the recipe that made its network.
        data_dir: of a .npz file of ours: the dataset that it was trained on; of another file, where
            class names come from. Of a work folder that kept no copy of its dataset's facts: where
            the dataset lies now.

    Returns:
        A `Network`: `classify`, `predict`, `features`, `preprocess`, `model`, `class_names`, ...

    Raises:
        UserError: in one line what is wrong with the folder or file, and what would be right.
    """
    from alexnet_common.tensorflow_import import import_tensorflow

    import_tensorflow()
    from alexnet_tf.inference import network

    return network.load(source, checkpoint, recipe=recipe, data_dir=data_dir)


def __getattr__(name: str) -> Any:
    if name == "Network":
        from alexnet_tf.inference.network import Network

        return Network
    raise AttributeError(f"module 'alexnet_tf' has no attribute {name!r}")
