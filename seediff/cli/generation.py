"""The command that makes data sets of one's own words."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from seediff.cli.options import Output, file
from seediff.cli.terminal import say
from seediff.errors import SeediffError

if TYPE_CHECKING:
    from seediff.generation.pairs import Part
    from seediff.generation.records import Finished
    from seediff.generation.settings import DataSet

Config = Annotated[Path, typer.Option(parser=file, help="YAML file of a data set")]


def generate(
    output: Output,
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
    processes: Annotated[
        int | None, typer.Option(min=1, help="processes that draw at once; one for each GPU if left out")
    ] = None,
) -> None:
    """Make a data set of your own classes: images with their masks.

    Words, prompts, masks and filters are settings of a file (--config); small cases need flags alone.
    """
    from seediff.generation.pairs import make_data_set
    from seediff.generation.processes import make_in_processes, usual_processes

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
    processes = processes or usual_processes()
    alone = processes == 1
    finished = make_data_set(data_set, output) if alone else make_in_processes(data_set, output, processes)
    _report(data_set, output, finished)


def _report(data_set: DataSet, output: Path, finished: Finished) -> None:
    from seediff.datasets.flaws import counted
    from seediff.generation.pairs import flaws_in

    asked = len(data_set.classes) * data_set.images
    made = finished.kept + finished.rejected
    fewer = f"; {asked} of them were asked for now, the others earlier" if made > asked else ""
    say(f"{finished.kept} images with masks in {output} (train/images, train/masks, overlays, classes.csv){fewer}")
    if finished.rejected:
        say(f"{finished.rejected} more were left out by the filter (rejected)")
    say(f"images: {counted(flaws_in(output))}")
    say(f"look at them: {_gallery(output)}")


def _gallery(folder: Path) -> Path:
    """The page to judge the pairs on."""
    from seediff.datasets.annotated import open_annotated
    from seediff.datasets.origins import read_origin
    from seediff.gallery.entries import Table
    from seediff.gallery.page import write_gallery
    from seediff.generation.records import SPLIT, DataSetFolder

    measured = {key: {"contrast": of.measures["contrast"]} for key, of in DataSetFolder(folder).records().items()}
    page, pairs = folder / "gallery.html", open_annotated(folder, "folder", SPLIT)
    write_gallery(pairs, folder.resolve().name, page, read_origin(folder, SPLIT), Table(("contrast",), measured))
    return page


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


# --- in parts, as the jobs of a cluster


def begin(config: Config, output: Output) -> None:
    """Check what is asked for, and note it."""
    from seediff.generation.pairs import note_settings, plan_images
    from seediff.generation.settings import read_data_set

    data_set = read_data_set(config)
    images = plan_images(data_set, output)
    note_settings(data_set, output)
    say(f"{len(images)} images of {len(data_set.classes)} classes")


def draw(
    config: Config,
    output: Output,
    part: Annotated[str, typer.Option(metavar="NUMBER/OF", help="which share of the images, such as 3/16")],
) -> None:
    """Draw a share of the images."""
    from tqdm import tqdm

    from seediff.devices import claimed
    from seediff.generation.pairs import draw_part, plan_begun
    from seediff.generation.settings import read_data_set

    share, data_set = _part(part), read_data_set(config)
    images = plan_begun(data_set, output)
    with claimed():
        for _ in tqdm(draw_part(data_set, output, images, share), unit="image", mininterval=5):
            pass


def _part(text: str) -> Part:
    from seediff.generation.pairs import Part

    number, slash, of = text.partition("/")
    if not (slash and number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of)):
        raise SeediffError(f"--part is {text!r}, but must be one of several, such as 3/16.")
    return Part(int(number) - 1, int(of))


def finish(config: Config, output: Output) -> None:
    """Filter the pairs, and list them."""
    from seediff.generation.pairs import finish, plan_begun
    from seediff.generation.settings import read_data_set

    data_set = read_data_set(config)
    _report(data_set, output, finish(data_set, output, plan_begun(data_set, output)))
