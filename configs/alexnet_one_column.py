"""One column of half the width: run 145-half, the paper's "one GPU" net (section 3.2).

    python -m alexnet_tf.train --config=configs/alexnet_one_column.py \\
        --config.data_dir=imagenet --workdir=runs/one_column

The last convolution keeps its 256 filters and the fully connected layers their 4096 neurons, so
that it has about as many parameters: 59,798,312. Otherwise as alexnet_code2012.

Krizhevsky's diary: 39.168% top-1, 18.229% top-5 on the 2010 test set with 10 views, 1.70 and 1.23
points worse than two columns. Not run here: ImageNet and GPU-days were not at hand.
"""

from alexnet_tf import recipes


def get_config() -> recipes.ConfigDict:
    """Differences from the 2012 code's two columns."""
    config = recipes.load("alexnet_code2012")
    config.name = "alexnet_one_column"
    config.promised.parameters = 59_798_312
    config.promised.neurons = 0
    config.log.expected = (
        "1.7 points of top-1 and 1.2 of top-5 worse than two columns (section 3.2)"
    )
    config.network.update({"columns": 1, "filters": (48, 128, 192, 192, 256)})
    return config
