"""Commands for segmenters of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seediff.cli.options import Output, file
from seediff.cli.photographs import Photographs, report_failures
from seediff.cli.terminal import say

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Data = Annotated[Path, typer.Argument(parser=file, help="folder of a data set, such as one of `seediff generate`")]
Format = Annotated[str | None, typer.Option(help="its format (`seediff data list`); recognised if left out")]
Split = Annotated[str | None, typer.Option(help="its split; may be left out if there is one alone")]
Model = Annotated[Path, typer.Argument(parser=file, help="folder of a segmenter")]


def train(
    data: Data,
    output: Output,
    segmenter: Annotated[
        str, typer.Option(help="its backbone: resnet-50, swin-tiny, swin-base; resnet-mini, swin-mini for small images")
    ] = "resnet-50",
    classes: Annotated[
        list[str], typer.Option("--class", metavar="TEXT", help="class to learn; can be repeated; all if left out")
    ] = [],  # noqa: B006 - typer copies it
    format: Format = None,
    split: Split = None,
    iterations: Annotated[int | None, typer.Option(help="iterations; 5,000 for backbones of full size")] = None,
    batch_size: Annotated[int | None, typer.Option(help="images in each iteration")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="its peak")] = None,
    crop: Annotated[int | None, typer.Option(help="side of the squares that are cut out, a multiple of 32")] = None,
    pretrained: Annotated[
        str | None, typer.Option(help="hub id or folder of the backbone's weights; 'none' for random ones")
    ] = None,
    workers: Annotated[int, typer.Option(min=0, help="processes that read images; 0: this one")] = 0,
    rng_seed: Annotated[int, typer.Option(help="every random number is derived from it")] = 0,
) -> None:
    """Train a segmenter on your own data.

    Writes a folder that transformers opens too.
    """
    from seediff.datasets.annotated import open_annotated
    from seediff.segmenter.own import own_settings, train_segmenter

    given = {
        "iterations": iterations,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "crop": crop,
        "pretrained": pretrained,
    }
    changes: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    if pretrained == "none":
        changes["pretrained"] = None
    settings = own_settings(segmenter, **changes)
    annotated = open_annotated(data, format, split, classes or None)
    say(f"{len(annotated)} images, {len(annotated.classes)} classes: {', '.join(annotated.classes)}")
    train_segmenter(annotated, settings, output, rng_seed, workers)
    say(f"{output}: give it to `seediff predict`, `seediff evaluate`, or transformers")


def predict(
    model: Model,
    photographs: Photographs,
    output: Output,
    labels: Annotated[
        Path | None,
        typer.Option(
            parser=file, help="folder of true label maps, NAME.png with the segmenter's labels, to compare with"
        ),
    ] = None,
) -> None:
    """Segment photographs with a trained segmenter.

    Writes label maps, overlays, and a copy of the photographs; metrics.json too if true label maps are given.
    """
    from seediff.segmenter.own import predict_files

    failures = predict_files(model, photographs, output)
    say(f"label maps in {output} (images, masks, overlays, classes.csv)")
    if labels is not None:
        _compare(model, photographs, output, labels)
    report_failures(failures)


def _compare(model: Path, photographs: Sequence[Path], output: Path, labels: Path) -> None:
    """Print the numbers of the photographs' label maps in ``output``, and write them there."""
    from seediff.files.sealed import write_json
    from seediff.segmenter.evaluate import load_segmenter
    from seediff.segmenter.own import METRICS, measure_predictions, predictions, summary

    classes, masks = load_segmenter(model).classes, predictions(photographs, output)
    numbers = summary(classes, measure_predictions(masks, labels, classes))
    if lacking := len(masks) - numbers["images"]:
        say(f"{lacking} of {len(masks)} photographs have no label map in {labels}")
    say(_table(numbers))
    write_json(output / METRICS, {"model": str(model), "labels": str(labels), **numbers})


def evaluate(
    model: Model,
    data: Data,
    format: Format = None,
    split: Split = None,
    output: Annotated[Path | None, typer.Option(parser=file, help="JSON file for the numbers")] = None,
) -> None:
    """Test a segmenter on annotated images.

    Prints the IoU of every class, and their mean.
    """
    from seediff.datasets.annotated import open_annotated
    from seediff.files.sealed import write_json
    from seediff.segmenter.evaluate import load_segmenter
    from seediff.segmenter.own import evaluate_segmenter, summary

    segmenter = load_segmenter(model)
    annotated = open_annotated(data, format, split, segmenter.classes[1:])
    numbers = summary(segmenter.classes, evaluate_segmenter(segmenter, annotated))
    say(_table(numbers))
    if output is not None:
        write_json(output, {"model": str(model), "data": str(data), **numbers})


def _table(numbers: Mapping[str, Any]) -> str:
    """IoU by class, and the means, in percent."""
    rows = [*numbers["iou"].items(), ("mean IoU", numbers["miou"]), ("pixel accuracy", numbers["pixel_accuracy"])]
    width = max(len(name) for name, _ in rows)
    lines = [f"{name:{width}}  {'–' if value is None else f'{value:.1f}':>5}" for name, value in rows]
    return "\n".join([f"{numbers['images']} images, in percent", *lines])


def onnx(
    model: Model,
    output: Annotated[Path, typer.Option(parser=file, help="ONNX file to write")],
    height: Annotated[int, typer.Option(min=32, max=8192, help="of the images that it is for, in pixels")],
    width: Annotated[int, typer.Option(min=32, max=8192, help="of the images that it is for, in pixels")],
) -> None:
    """Write a segmenter as an ONNX file.

    Its input is an image (1, height, width, 3) uint8, its output the scores of the classes (1, classes, height, width).
    """
    from seediff.segmenter.evaluate import load_segmenter
    from seediff.segmenter.onnx import export_onnx

    segmenter = load_segmenter(model)
    export_onnx(segmenter, output, (height, width))
    say(f"{output}: image (1, {height}, {width}, 3) uint8 -> scores (1, {len(segmenter.classes)}, {height}, {width})")
    say(f"classes: {', '.join(segmenter.classes)}")
