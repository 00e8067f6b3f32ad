"""The two label values that mean the same everywhere; the classes have those in between."""

BACKGROUND_LABEL = 0
IGNORE_LABEL = 255
"""Pixels that count nowhere: not in a loss, not in a metric."""

MOST_CLASSES = IGNORE_LABEL - 1
"""Labels are single bytes."""

LARGE_IGNORE_LABEL = 65535
"""What ``IGNORE_LABEL`` is where a benchmark is read with more classes than that, in labels of two bytes."""
