"""Reader of the 2012 code's layer-definition and layer-parameter files."""

from __future__ import annotations

from collections.abc import Sequence

from alexnet_tf.tables.rows import TableError
from alexnet_tf.tables.table import Table


def cuda_convnet(
    num_classes: int,
    *,
    layers: str = "",
    layer_params: str = "",
    input_size: int = 0,
    strict: bool = False,
    seed: int = 0,
    rates: str = "auto",
    start_rate: float = 0.01,
    start_bias_rate: float = 0.02,
    base_rate: float = 0.01,
    tree: Sequence[int] = (),
    pool_ties: str = "one",
    gpus: int = 0,
    outputs: str = "file",
) -> Table:
    """A network by the name "cuda_convnet": see `reader.read` for the options.

    Raises:
        TableError: no definition file was named, or the files do not make a network.
    """
    from alexnet_tf.tables.cuda_convnet import reader

    if not layers:
        raise TableError("name a definition file: --config.layers=layers-145.cfg")
    return reader.read(
        layers,
        layer_params,
        num_classes=num_classes,
        input_size=input_size,
        strict=strict,
        seed=seed,
        rates=rates,
        start_rate=start_rate,
        start_bias_rate=start_bias_rate,
        base_rate=base_rate,
        tree=tuple(tree),
        pool_ties=pool_ties,
        gpus=gpus,
        outputs=outputs,
    )
