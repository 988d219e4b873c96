"""From a table of layers to a Keras functional model: layers, placement, costs."""
