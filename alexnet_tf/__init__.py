"""AlexNet (Krizhevsky, Sutskever, Hinton, 2012) as a distributed TensorFlow/Keras trainer."""
