"""Networks as tables of layers, counted before any model exists.

No TensorFlow in here.
"""
