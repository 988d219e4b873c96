"""A training run: set up, checked, stepped through, saved."""
