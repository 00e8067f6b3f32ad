"""WebDataset: tar shards of images, labels and JSON, which webdataset and Hugging Face's datasets read as streams.

Equal data give equal bytes. Labels are grey PNGs: WebDataset's decoders turn a palette into colours.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from seediff.datasets.class_lists import class_table
from seediff.datasets.images import encode_labels, encode_png
from seediff.errors import SeediffError
from seediff.export.source import Sample, Source

SHARD_BYTES = 256 * 2**20
"""A shard ends with the sample that exceeds this."""


def check(source: Source) -> None:
    """Raise ``SeediffError`` for a name of an image that cannot be a key."""
    for name in source.names:
        if "." in name:
            raise SeediffError(
                f"Image {name!r} has a dot in its name, at which readers of WebDataset end the key.\nRename it."
            )


def write(folder: Path, source: Source, shard_bytes: int = SHARD_BYTES) -> None:
    """``<split>-<number>.tar`` with ``<name>.png``, ``<name>.mask.png`` and ``<name>.json``; ``classes.csv``."""
    for split in source.splits:
        samples = (_files(sample, source.data.classes) for sample in source.samples(split))
        _write_shards(folder, split, samples, shard_bytes)
    (folder / "classes.csv").write_text(class_table(source.data.classes), encoding="utf-8", newline="")
    (folder / "source.json").write_text(source.about_json, encoding="utf-8")


def _files(sample: Sample, classes: Sequence[str]) -> dict[str, bytes]:
    """The sample's files by name, in their order."""
    return {
        f"{sample.name}.json": json.dumps(_about(sample, classes), ensure_ascii=False).encode(),
        f"{sample.name}.mask.png": encode_labels(sample.labels),
        f"{sample.name}.png": encode_png(sample.image),
    }


def _about(sample: Sample, classes: Sequence[str]) -> dict[str, Any]:
    shown = [classes[label - 1] for label in np.unique(sample.labels).tolist() if 0 < label <= len(classes)]
    return {"caption": sample.caption, "category": sample.category, "classes": shown}


def _write_shards(folder: Path, split: str, samples: Iterable[Mapping[str, bytes]], shard_bytes: int) -> None:
    remaining: Iterator[Mapping[str, bytes]] = iter(samples)
    following, number = next(remaining, None), 0
    while following is not None:
        with tarfile.open(folder / f"{split}-{number:06d}.tar", "w", format=tarfile.GNU_FORMAT) as tar:
            while following is not None and tar.offset < shard_bytes:
                for name, content in following.items():
                    member = tarfile.TarInfo(name)
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))
                following = next(remaining, None)
        number += 1
