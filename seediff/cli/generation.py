"""The command that makes data sets of one's own words."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from seediff.cli.options import file, folder
from seediff.cli.terminal import say
from seediff.errors import SeediffError

if TYPE_CHECKING:
    from seediff.generation.settings import DataSet


def generate(
    output: Annotated[Path, typer.Option(parser=folder, help="folder to write to")],
    config: Annotated[
        Path | None, typer.Option(parser=file, help="YAML file of a data set (docs/data-set-of-your-own.md)")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="id or folder of a text-to-image model, or pictograms: the model of seediff's wheel"),
    ] = None,
    classes: Annotated[list[str], typer.Option("--class", metavar="TEXT", help="class to draw; can be repeated")] = [],  # noqa: B006 - typer copies it
    number: Annotated[int | None, typer.Option(help="images of each class; 20 if left out")] = None,
    template: Annotated[str | None, typer.Option(help="prompt, with {word} for the class")] = None,
    variant: Annotated[
        str | None, typer.Option(help="how masks are made (docs/studies.md lists all variants); as fits the model")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="denoising steps; the model's own number if left out")] = None,
    guidance_scale: Annotated[
        float | None, typer.Option(help="scale of guidance, 0 for none; the model's own if left out")
    ] = None,
    height: Annotated[int | None, typer.Option(help="of an image, in pixels; the model's own if left out")] = None,
    width: Annotated[int | None, typer.Option(help="of an image, in pixels; the model's own if left out")] = None,
    batch_size: Annotated[int | None, typer.Option(help="images drawn at a time; 4 if left out")] = None,
    adapter: Annotated[Path | None, typer.Option(parser=file, help="LoRA file or folder that adapts the model")] = None,
    dtype: Annotated[
        Literal["float32", "bfloat16", "float16"] | None, typer.Option(help="precision of weights; float32")
    ] = None,
    rng_seed: Annotated[int | None, typer.Option(help="every random number is derived from it")] = None,
) -> None:
    """Make a data set of your own classes: images with their masks.

    Words, prompts, masks and filters are settings of a file (--config); small cases need flags alone.
    """
    from seediff.datasets.flaws import counted
    from seediff.generation.pairs import flaws_in, make_data_set

    drawing = {
        "steps": steps,
        "guidance_scale": guidance_scale,
        "height": height,
        "width": width,
        "batch_size": batch_size,
        "dtype": dtype,
    }
    flags = {
        "model": model,
        "classes": classes or None,
        "images": number,
        "templates": [template] if template is not None else None,
        "adapter": str(adapter) if adapter is not None else None,
        "masks": _given({"variant": variant}) or None,
        "drawing": _given(drawing) or None,
        "rng_seed": rng_seed,
    }
    data_set = _data_set(config, _given(flags))
    finished = make_data_set(data_set, output)
    asked = len(data_set.classes) * data_set.images
    made = finished.kept + finished.rejected
    fewer = f"; {asked} of them were asked for now, the others earlier" if made > asked else ""
    say(f"{finished.kept} images with masks in {output} (train/images, train/masks, overlays, classes.csv){fewer}")
    if finished.rejected:
        say(f"{finished.rejected} more were left out by the filter (rejected)")
    say(f"images: {counted(flaws_in(output))}")


def _given(flags: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in flags.items() if value is not None}


def _data_set(config: Path | None, flags: dict[str, Any]) -> DataSet:
    """The data set of a file, or of flags alone."""
    from seediff.generation.settings import data_set, read_data_set

    if config is None:
        for name, flag in (("model", "--model"), ("classes", "--class")):
            if name not in flags:
                raise SeediffError(f"{flag} is missing.\nGive it, or a file of settings with --config.")
        return data_set(**flags)
    if flags:
        raise SeediffError(
            f"{config} is given, and flags beside it: {', '.join(sorted(flags))}.\nWrite them into the file."
        )
    return read_data_set(config)
