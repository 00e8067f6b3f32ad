"""How fast and how small the parts are, beside honest peers: ``python -m benchmarks``."""
