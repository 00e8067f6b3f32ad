"""Where images and labels live: shards, benchmarks and training sets. Nothing here imports torch."""
