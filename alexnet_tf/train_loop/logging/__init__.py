"""What is seen of a run: metrics file, progress, TensorBoard, warnings."""
