"""Which image-mask pairs to learn from: measures of a pair that need no training, limits, and ranks in a class."""
