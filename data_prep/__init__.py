"""Offline preparation of data: sources -> plan -> shards -> dataset.json."""
