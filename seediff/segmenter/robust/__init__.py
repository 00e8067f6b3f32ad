"""Reliability-aware training of two networks that teach each other (docs/methods/robust-training.md)."""
