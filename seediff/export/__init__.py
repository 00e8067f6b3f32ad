"""Writes annotated images in the formats that other tools read: ``seediff export``."""
