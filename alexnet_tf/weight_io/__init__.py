"""Weights in and out: kinds of weight files, by content, and other programs' formats."""
