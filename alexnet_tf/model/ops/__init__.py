"""The operations inside layers: activations, normalization, pooling, images."""
