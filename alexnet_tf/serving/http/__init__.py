"""A web server for an exported network, with TensorFlow Serving's REST paths."""
