"""AlexNet (Krizhevsky, Sutskever, Hinton, 2012) as a distributed TensorFlow/Keras trainer."""

import glob
import os

# TensorFlow reads these when it is imported. Its start-up notes would bury our own first page, and
# without a GPU driver each process would report a failed call into CUDA as an error.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
if not glob.glob("/dev/nvidia*") and not os.path.exists("/dev/dxg"):
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
