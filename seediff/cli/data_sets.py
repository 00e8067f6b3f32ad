"""The commands for annotated images: in other formats, and to look at."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from seediff.cli.options import file, folder
from seediff.cli.terminal import say

Folder = Annotated[Path, typer.Argument(parser=file, help="annotated images, such as `seediff generate` makes")]
InputFormat = Annotated[str | None, typer.Option(help="their format; found out if left out")]
InputSplit = Annotated[str | None, typer.Option(help="take the images of this split alone")]
Classes = Annotated[
    list[str], typer.Option("--class", metavar="TEXT", help="class to keep; can be repeated; all if left out")
]


def export(
    data: Folder,
    format: Annotated[str, typer.Option(help="coco, yolo, voc, parquet, webdataset or png (docs/export.md)")],
    output: Annotated[Path, typer.Option(parser=folder, help="folder to write, new or empty")],
    split: Annotated[str, typer.Option(metavar="SHARES", help="splits with shares that sum to 1")] = "train=1",
    rng_seed: Annotated[int, typer.Option(help="decides, with the images' names, which is in which split")] = 0,
    license: Annotated[str, typer.Option(help="that the data set is under, such as cc-by-4.0")] = "unknown",
    input_format: InputFormat = None,
    input_split: InputSplit = None,
    classes: Classes = [],  # noqa: B006 - typer copies it
) -> None:
    """Write annotated images in the format of another tool."""
    from seediff.datasets.annotated import chosen_split, open_annotated
    from seediff.datasets.origins import read_origin
    from seediff.export.formats import export as export_images
    from seediff.export.formats import find_format
    from seediff.export.splits import parse_shares

    find_format(format)
    shares = parse_shares(split)
    input_split = chosen_split(data, input_format, input_split)
    opened = open_annotated(data, input_format, input_split, classes or None)
    made = export_images(opened, format, output, shares, read_origin(data, input_split), rng_seed, license)
    say(f"{sum(made.values())} images ({', '.join(f'{name} {number}' for name, number in made.items())}) in {output}")


def gallery(
    data: Folder,
    output: Annotated[
        Path | None, typer.Option(parser=file, help="HTML file to write; DATA/gallery.html if left out")
    ] = None,
    table: Annotated[
        Path | None, typer.Option(parser=file, help="CSV with a column 'key' and columns of numbers to sort by")
    ] = None,
    input_format: InputFormat = None,
    input_split: InputSplit = None,
    classes: Classes = [],  # noqa: B006 - typer copies it
) -> None:
    """Make a page to judge annotated images on.

    One HTML file with all images and their masks, to sort, filter and reject.
    """
    from seediff.datasets.annotated import chosen_split, open_annotated
    from seediff.datasets.origins import read_origin
    from seediff.gallery.entries import Table, read_table
    from seediff.gallery.page import write_gallery

    path = output or data / "gallery.html"
    more = read_table(table) if table else Table()
    input_split = chosen_split(data, input_format, input_split)
    opened = open_annotated(data, input_format, input_split, classes or None)
    number = write_gallery(opened, data.resolve().name, path, read_origin(data, input_split), more)
    say(f"{path}: {number} images; open it in a browser")
