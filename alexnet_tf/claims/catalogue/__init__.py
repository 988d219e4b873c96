"""One file per claim, each with its `CLAIM`."""
