"""All formats to export to, by name, and the export itself (docs/export.md)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from seediff.datasets.annotated import Annotated
from seediff.datasets.origins import Origin
from seediff.errors import SeediffError
from seediff.export import coco, parquet, png, voc, webdataset, yolo
from seediff.export.folders import whole_folder
from seediff.export.source import Source, check_data, check_license
from seediff.export.splits import split_images
from seediff.extras import require_extra
from seediff.names import nearest


def _holds_everything(source: Source) -> None:
    """The check of a format that has no limits of its own."""


@dataclass(frozen=True)
class Format:
    """``write`` fills an empty folder. ``check`` raises ``SeediffError`` for what the format cannot hold.

    ``extra``: the optional part of the package that it needs, if any.
    """

    write: Callable[[Path, Source], None]
    check: Callable[[Source], None] = _holds_everything
    extra: str | None = None


FORMATS: dict[str, Format] = {
    "coco": Format(coco.write, extra="coco"),
    "yolo": Format(yolo.write, yolo.check),
    "voc": Format(voc.write, voc.check),
    "parquet": Format(parquet.write, extra="huggingface"),
    "webdataset": Format(webdataset.write, webdataset.check),
    "png": Format(png.write, png.check),
}


def find_format(name: str) -> Format:
    """The format of that name; ``SeediffError`` with the nearest name if there is none, or if packages are missing."""
    if name not in FORMATS:
        raise SeediffError(f"There is no format {name!r} to export to.\n{nearest(name, FORMATS)}")
    if extra := FORMATS[name].extra:
        require_extra(extra)
    return FORMATS[name]


def export(
    data: Annotated,
    format: str,
    output: Path,
    shares: Mapping[str, float],
    origin: Origin | None = None,
    rng_seed: int = 0,
    license: str = "unknown",
) -> dict[str, int]:
    """Write the data set in that format to ``output``, a new or empty folder; returns the number of images by split.

    ``shares``: split -> its share of the images; they sum to 1. ``rng_seed`` and the images' names decide which image
    is in which split. The folder appears when all is written: until then it is called ``<output>.partial``, and a call
    that was killed begins anew. Raises ``SeediffError`` for what the format cannot hold, before anything is written.
    """
    writer = find_format(format)
    check_data(data)
    check_license(license)
    source = Source(data, split_images(data.names, shares, rng_seed), origin or Origin(), license)
    writer.check(source)
    with whole_folder(output) as unfinished:
        writer.write(unfinished, source)
    return {split: len(indices) for split, indices in source.splits.items()}
