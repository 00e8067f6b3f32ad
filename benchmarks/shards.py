"""Write and read shards of many small images: python benchmarks/shards.py [images] [folder]

The images are of 64 x 64 pixels, about 12 kB each, a thousand to a shard, as large shards are at full size. Reading is
checked reading: every byte goes under the checksum of its member. Speeds are those of a core with nothing else to do.
"""

from __future__ import annotations

import json
import random
import resource
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from seediff.datasets.images import encode_mask, encode_png
from seediff.datasets.shards import Sample, open_shard, read_shard, write_shard
from seediff.datasets.training_sets import assemble, load_training_set

SIZE, SIDE = 1000, 64
DIFFERENT = 100
"""Pictures that are really different; the others repeat them, for encoding is not what is measured."""


def samples(first: int, pictures: list[bytes], about: bytes | None) -> Iterator[Sample]:
    """One shard's samples, with their JSON or without."""
    for index in range(first, first + SIZE):
        files = {"png": pictures[index % DIFFERENT]}
        yield Sample(f"cat-{index:06d}", {**files, "json": about} if about else files)


def report(what: str, images: int, size: float, work: Callable[[], object]) -> None:
    start, started = time.process_time(), time.perf_counter()
    work()
    seconds, passed = time.process_time() - start, time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    speed = f"{images / seconds:9,.0f} images/s {size / seconds / 1e6:7,.0f} MB/s" if size else " " * 32
    print(f"{what:44} {passed:7.1f} s, of one core {seconds:6.1f} s {speed} {peak:6,.0f} MiB", flush=True)


def measure(images: int, folder: Path) -> None:
    rng = np.random.default_rng(0)
    pictures = [encode_png(rng.integers(0, 128, (SIDE, SIDE, 3), np.uint8)) for _ in range(DIFFERENT)]
    masks = [encode_mask(rng.integers(0, 2, (SIDE, SIDE), np.uint8)) for _ in range(DIFFERENT)]
    about = json.dumps({"class_name": "cat"}).encode()
    drawn = [folder / "images" / f"{first // SIZE:04d}.tar" for first in range(0, images, SIZE)]
    made = [folder / "masks" / path.name for path in drawn]

    def write() -> None:
        for number, (image_shard, mask_shard) in enumerate(zip(drawn, made, strict=True)):
            write_shard(image_shard, samples(number * SIZE, pictures, about))
            write_shard(mask_shard, samples(number * SIZE, masks, None))

    report(f"write {len(drawn)} shards of images and of masks", images, 0, write)
    size = sum(path.stat().st_size for path in (*drawn, *made))
    print(f"{size / 1e9:.2f} GB")
    report("read all in order", images, size, lambda: [sum(1 for _ in read_shard(path)) for path in (*drawn, *made)])
    report("open all: their manifests", images, 0, lambda: [open_shard(path) for path in (*drawn, *made)])
    report("assemble the training set", images, 0, lambda: assemble(drawn, made, None, folder / "set.json"))
    report("load the training set", images, 0, lambda: load_training_set(folder / "set.json"))
    pairs, order = load_training_set(folder / "set.json"), random.Random(0).sample(range(images), min(images, 10_000))
    share = size * len(order) / images
    report("read pairs at random, decoded", len(order), share, lambda: [pairs[index] for index in order])


if __name__ == "__main__":
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with TemporaryDirectory(dir=sys.argv[2] if len(sys.argv) > 2 else None) as name:
        measure(number, Path(name))
