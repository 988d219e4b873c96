"""Measurements, each a module with `define_flags` and `main`: `python -m alexnet_tf.benchmark`."""
