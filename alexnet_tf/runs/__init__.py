"""A run on the disk: its work folder, checkpoints, and what it remembers of its data."""
