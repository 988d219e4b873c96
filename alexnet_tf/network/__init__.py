"""Networks as tables of layers, and what turns a table into a Keras model."""
