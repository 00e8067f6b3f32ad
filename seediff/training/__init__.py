"""How segmenters and adapters are trained: the loop, its state on disk, and processes that share a batch."""
