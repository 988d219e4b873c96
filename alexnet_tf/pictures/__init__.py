"""Pictures as plain arrays: NumPy alone, for the log of a run and for figures alike."""
