"""Image-label pairs in the form detectron2 reads: files on disk, and a list of dicts that names them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from seediff.datasets.classes import IGNORE_LABEL
from seediff.datasets.images import Pairs, encode_labels, encode_png
from seediff.errors import SeediffError
from seediff.files.sealed import partial, read_json, write_json

DatasetDict = dict[str, Any]


def dataset_dicts(pairs: Pairs, identity: str, folder: Path) -> list[DatasetDict]:
    """Write the pairs as PNG files below ``folder``, unless they exist already, and return a dict for each.

    The keys are detectron2's: ``file_name``, ``sem_seg_file_name``, ``height``, ``width``, ``image_id``. ``identity``
    stands for the pairs' content: raises ``SeediffError`` if the folder holds other pairs.
    """
    pairs_held = {"sha256": hashlib.sha256(identity.encode(errors="surrogateescape")).hexdigest()}
    source = folder / "source.json"
    if source.exists() and read_json(source, "The note of the data set in") != pairs_held:
        raise SeediffError(f"{folder} holds the pairs of another data set.\nDelete it or choose another folder.")
    write_json(source, pairs_held)
    return [_write_pair(pairs, index, folder.resolve()) for index in range(len(pairs))]


def _write_pair(pairs: Pairs, index: int, folder: Path) -> DatasetDict:
    image, labels = pairs[index]
    files = folder / "images" / f"{index:07d}.png", folder / "labels" / f"{index:07d}.png"
    for file, content in zip(files, (encode_png(image), encode_labels(labels)), strict=True):
        if not file.exists():
            with partial(file) as unfinished:
                unfinished.write_bytes(content)
    height, width = labels.shape
    names = {"file_name": str(files[0]), "sem_seg_file_name": str(files[1])}
    return {**names, "height": height, "width": width, "image_id": f"{index:07d}"}


def metadata(classes: Sequence[str]) -> dict[str, Any]:
    """What detectron2 needs to know about a semantic data set; ``classes`` in label order, background first."""
    return {"stuff_classes": list(classes), "ignore_label": IGNORE_LABEL, "evaluator_type": "sem_seg"}
