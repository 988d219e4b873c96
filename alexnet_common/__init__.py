"""What data_prep and alexnet_tf share: errors, commands, files, messages.

Nothing in here needs TensorFlow, and nothing imports either of them.
"""

__version__ = "0.2.0"
