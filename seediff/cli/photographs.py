"""Commands for photographs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from seediff.cli.options import Output, file
from seediff.cli.terminal import say

Photographs = Annotated[list[Path], typer.Argument(parser=file, help="files, or folders of them")]


def segment(
    photographs: Photographs,
    words: Annotated[list[str], typer.Option("--word", metavar="TEXT", help="what to look for; can be repeated")],
    model: Annotated[str, typer.Option(help="id or folder of a Stable Diffusion 1 or 2, or pictograms")],
    output: Output,
    prompt: Annotated[
        str | None, typer.Option(help="has all the words; 'a photo of a ... and a ...' if left out")
    ] = None,
    variant: Annotated[str, typer.Option(help="how masks are made (docs/studies.md lists all variants)")] = "look",
    timesteps: Annotated[
        list[int],
        typer.Option(
            "--timestep",
            help="how much noise is added, 0 to 999, for all variants but look, which has its own; can be repeated",
        ),
    ] = [],  # noqa: B006 - typer copies it
    beta: Annotated[float, typer.Option(help="what a score has to reach")] = 0.3,
    batch_size: Annotated[int, typer.Option(min=1, help="photographs at a time")] = 4,
    dtype: Annotated[Literal["float32", "bfloat16", "float16"], typer.Option(help="precision of weights")] = "float32",
    rng_seed: Annotated[int, typer.Option(help="the noise is derived from it")] = 0,
) -> None:
    """Make masks of photographs.

    Writes label maps, overlays, and a copy of the photographs.
    """
    from seediff.diffusion.photographs import Query, segment_files

    query = Query(tuple(words), prompt, variant, tuple(timesteps) or None, beta=beta, rng_seed=rng_seed)
    failures = segment_files(model, photographs, query, output, batch_size, dtype)
    say(f"label maps in {output} (images, masks, overlays, classes.csv)")
    report_failures(failures)


def report_failures(failures: Sequence[str]) -> None:
    """Print why photographs were left out, if any were; the exit code is then 1."""
    if failures:
        say("\n".join([f"{len(failures)} photographs were left out:", *failures]))
        raise typer.Exit(1)
