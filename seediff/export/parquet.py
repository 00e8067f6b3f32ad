"""Hugging Face parquet: rows of images and masks in shards, with a dataset card, as they are uploaded to the hub.

Masks are grey PNGs of labels: 0 background, k the k-th class of the card, 255 ignored.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from seediff.datasets.images import encode_labels, encode_png
from seediff.export.folders import subfolder
from seediff.export.source import Sample, Source
from seediff.names import visible

SHARD_BYTES = 256 * 2**20
"""A shard ends with the row that exceeds this."""

Row = dict[str, Any]


def write(folder: Path, source: Source, shard_bytes: int = SHARD_BYTES) -> None:
    """``data/<split>-<number>.parquet`` and ``README.md``, the card."""
    from datasets import Dataset, Features, Image, Value

    picture, text = Image(), Value("string")
    columns = Features(
        {"image": picture, "mask": picture, "caption": text, "category": text, "image_id": text},
    )
    data = subfolder(folder, "data")
    shown = {split: np.zeros(len(source.data.classes) + 1, int) for split in source.splits}
    for split, counts in shown.items():
        for number, rows in enumerate(_shards(_rows(source, split, counts), shard_bytes)):
            shard = Dataset.from_list(rows, features=columns)
            shard.to_parquet(data / f"{split}-{number:05d}.parquet")
    (folder / "README.md").write_text(card(source, shown), encoding="utf-8")


def _rows(source: Source, split: str, counts: np.ndarray[Any, Any]) -> Iterator[Row]:
    """The rows of a split; ``counts`` (classes + 1,) is raised by the images that show each label."""
    for sample in source.samples(split):
        labels = np.unique(sample.labels)
        counts[labels[labels < len(counts)]] += 1
        yield _row(sample)


def _row(sample: Sample) -> Row:
    return {
        "image": {"bytes": encode_png(sample.image), "path": f"{sample.name}.png"},
        "mask": {"bytes": encode_labels(sample.labels), "path": f"{sample.name}.png"},
        "caption": sample.caption,
        "category": sample.category,
        "image_id": sample.name,
    }


def _shards(rows: Iterable[Row], shard_bytes: int) -> Iterator[list[Row]]:
    """The rows in parts of about that size, one in memory at a time."""
    part: list[Row] = []
    size = 0
    for row in rows:
        part.append(row)
        size += len(row["image"]["bytes"]) + len(row["mask"]["bytes"])
        if size >= shard_bytes:
            yield part
            part, size = [], 0
    if part:
        yield part


# --- the card


def card(source: Source, shown: Mapping[str, np.ndarray[Any, Any]]) -> str:
    """The dataset card. ``shown``: split -> (classes + 1,), the number of images that show each label."""
    return "\n".join([*_header(source), "", *_content(source, shown), *_making(source)]) + "\n"


def _header(source: Source) -> Iterator[str]:
    """What the hub reads, in YAML; JSON strings are YAML."""
    yield "---"
    yield f"license: {json.dumps(source.license, ensure_ascii=False)}"
    yield "task_categories:\n- image-segmentation"
    yield "configs:\n- config_name: default\n  data_files:"
    yield from (f"  - split: {split}\n    path: data/{split}-*.parquet" for split in source.splits)
    yield "---"


def _content(source: Source, shown: Mapping[str, np.ndarray[Any, Any]]) -> Iterator[str]:
    yield "# Images with segmentation masks\n"
    yield "Columns: `image`, `mask` (labels), `caption`, `category` (the class that was drawn) and `image_id`."
    yield "`caption` and `category` are null where they are not known. Label 0 is the background, 255 is ignored.\n"
    yield f"| label | class | {' | '.join(f'images in {split}' for split in shown)} |"
    yield f"|---|---|{'---|' * len(shown)}"
    for label, name in enumerate(source.data.classes, start=1):
        yield f"| {label} | {_code(name)} | {' | '.join(str(counts[label]) for counts in shown.values())} |"
    yield f"| | all | {' | '.join(str(len(source.splits[split])) for split in shown)} |\n"


def _making(source: Source) -> Iterator[str]:
    settings = source.origin.settings
    if not settings:
        return
    yield "## How it was made\n"
    yield f"The images were drawn by the model {_code(settings.get('model'))} {_prompts(settings)}."
    yield "seediff made the masks from the model's own attention; nobody annotated them. All settings:\n"
    yield f"```json\n{json.dumps(settings, indent=1)}\n```"


def _prompts(settings: Mapping[str, Any]) -> str:
    """What the images were drawn from; with a file of prompts, templates are not used."""
    if settings.get("prompts"):
        return "from a file of prompts"
    templates = ", ".join(map(_code, settings.get("templates", ())))
    return f"from the prompts {templates}, with words of the classes in place of `{{word}}`"


def _code(text: object) -> str:
    """As code in a line or table: what could end it is written otherwise."""
    return f"`{visible(str(text)).replace('`', chr(39)).replace('|', '/')}`"
