"""Errors on a split: metrics, views, ensembles. Needs no training."""
