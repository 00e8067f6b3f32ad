"""A page to judge annotated images on: ``seediff gallery``."""
