"""A trained network as something to ask: probabilities and features of images, one by one or by
the million. The public API (`alexnet_tf.load`) is in `network`."""
