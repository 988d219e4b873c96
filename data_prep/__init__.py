"""Offline preparation of image folders and archives as sharded TFRecords."""
