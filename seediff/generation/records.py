"""The folder of a data set, and the record of how each of its pairs was made.

settings.json                    what was asked for
classes.csv                      label, class
train/images, train/masks        the pairs; palette PNGs, 0 background, k for the k-th class
train/metadata.jsonl             a line for each pair, as Hugging Face's imagefolder reads it
overlays, records                each mask laid over its image, and how the pair was made (``Record``)
scores                           soft scores on request, grey, a file for each class shown
rejected                         what a filter leaves out, in the same way
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from seediff.datasets.pair_folder import PairFolder
from seediff.errors import SeediffError
from seediff.files.sealed import parse_json, write_text
from seediff.generation.prompts import Shown, Wanted

SPLIT, REJECTED = "train", "rejected"
"""Hugging Face's imagefolder takes the name of a folder, 'train', for a split before
that of a file, which may begin with a class called 'test'."""


@dataclass(frozen=True)
class Record:
    """How a pair was made: its image, as it was wanted, the mask steps and the drawing in full, and its measures."""

    wanted: Wanted
    steps: Sequence[Any]
    drawing: Mapping[str, Any]
    measures: Mapping[str, float]


@dataclass(frozen=True)
class DataSetFolder:
    """The folder of a data set: its pairs, and those that a filter leaves out."""

    path: Path

    @property
    def pairs(self) -> PairFolder:
        return PairFolder(self.path, SPLIT)

    @property
    def rejected(self) -> PairFolder:
        return PairFolder(self.path / REJECTED, SPLIT)

    def record_file(self, key: str) -> Path:
        return self.path / "records" / f"{key}.json"

    def score_file(self, key: str, number: int) -> Path:
        return self.path / "scores" / f"{key}-{number}.png"

    def is_finished(self, key: str) -> bool:
        made = any(pairs.is_finished(f"{key}.png") for pairs in (self.pairs, self.rejected))
        return made and self.record_file(key).exists()

    def records(self) -> dict[str, Record]:
        """Key -> record of every finished pair."""
        found = sorted((self.path / "records").glob("*.json"))
        return {path.stem: _read_record(path) for path in found if self.is_finished(path.stem)}

    def write_record(self, record: Record) -> None:
        text = json.dumps(asdict(record), ensure_ascii=False, indent=1)
        write_text(self.record_file(record.wanted.key), text + "\n")


def _read_record(path: Path) -> Record:
    content = parse_json(path, "The record")
    try:
        wanted = content["wanted"]
        objects = tuple(Shown(**{**shown, "starts": tuple(shown["starts"])}) for shown in wanted["objects"])
        if not objects or wanted["key"] != path.stem:
            raise ValueError
        return Record(**{**content, "wanted": Wanted(**{**wanted, "objects": objects})})
    except (TypeError, KeyError, ValueError):
        raise SeediffError(
            f"The record {path} is not as it was written.\nDelete it: its image is drawn again."
        ) from None


@dataclass(frozen=True)
class Finished:
    """How many pairs the folder holds, and how many a filter has left out."""

    kept: int
    rejected: int
