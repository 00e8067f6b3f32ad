"""The command that serves the demo page."""

from __future__ import annotations

from typing import Annotated, Literal

import typer


def demo(
    model: Annotated[str, typer.Option(help="id or folder of a text-to-image model, or pictograms")] = "pictograms",
    port: Annotated[int, typer.Option(min=0, max=65535, help="of 127.0.0.1; a free one if left out")] = 0,
    guidance_scale: Annotated[float | None, typer.Option(help="where its slider starts")] = None,
    dtype: Annotated[Literal["float32", "bfloat16", "float16"], typer.Option(help="precision of weights")] = "float32",
) -> None:
    """Show a page on this machine: draw or look at images, and see their masks follow the thresholds."""
    from seediff.extras import require_extra

    require_extra("demo")
    from seediff.demo.page import serve
    from seediff.diffusion.loading import load
    from seediff.diffusion.model_files import EMBEDDED

    if guidance_scale is None and model == EMBEDDED:
        guidance_scale = 2.0  # what it draws best with
    serve(load(model, dtype), port, guidance_scale)
