"""Which image-mask pairs to train on: measures that need no training, limits on them, and ranks within a class."""
