"""The page itself: a prompt or a photograph, words, a variant; every step, and the mask, which follows the thresholds.

It listens on 127.0.0.1 alone, has no public link, and keeps what is uploaded in a temporary folder until it ends.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from PIL import Image

from seediff.datasets.images import Array, decode_rgb, encode_mask, read_file
from seediff.demo.looking import (
    Look,
    attention_picture,
    draw_look,
    image_picture,
    labels_of,
    look_at,
    mask_picture,
    step_pictures,
    words_in,
)
from seediff.diffusion.synthesis import Sampling
from seediff.errors import SeediffError
from seediff.extras import require_extra
from seediff.masks.variants import VARIANTS

HOST = "127.0.0.1"
LARGEST_UPLOAD = "20mb"
KEPT_SECONDS = 3600
"""How long a visitor's image and attention are kept."""
START_VARIANT = "look"


def serve(pipe: Any, port: int, guidance_scale: float | None) -> None:
    """Show the page until the program is stopped."""
    require_extra("demo")
    with tempfile.TemporaryDirectory(prefix="seediff-demo-") as folder:
        launch(pipe, port, guidance_scale, Path(folder), wait=True)


def launch(pipe: Any, port: int, guidance_scale: float | None, folder: Path, wait: bool) -> Any:
    """Begin to serve the page; its files are below ``folder``. ``port``: 0 for a free one."""
    os.environ.update(GRADIO_TEMP_DIR=str(folder), GRADIO_ANALYTICS_ENABLED="False", HF_HUB_DISABLE_TELEMETRY="1")
    import gradio

    blocks = build(gradio, pipe, guidance_scale, folder)
    blocks.queue(max_size=8, default_concurrency_limit=1)  # one model, one picture at a time
    try:
        blocks.launch(
            server_name=HOST,
            server_port=port or None,
            share=False,
            quiet=True,
            max_file_size=LARGEST_UPLOAD,
            prevent_thread_lock=True,
            footer_links=[],
            ssr_mode=False,
        )
    except OSError as error:
        raise SeediffError(f"The page cannot be served on port {port}: {error}.\nName another with --port.") from None
    print(f"The page is at http://{HOST}:{blocks.server_port} until you press Ctrl+C.", flush=True)
    if wait:
        blocks.block_thread()
    return blocks


def build(gradio: Any, pipe: Any, guidance_scale: float | None, folder: Path) -> Any:
    """The page's parts, and what each does."""
    told = _telling(gradio)
    with gradio.Blocks(title="seediff", delete_cache=(KEPT_SECONDS, KEPT_SECONDS), fill_width=True) as blocks:
        state = gradio.State(None, time_to_live=KEPT_SECONDS)
        gradio.Markdown("# seediff\nMasks from a diffusion model's own attention.")
        with gradio.Row():
            with gradio.Column(scale=1):
                words = gradio.Textbox("cat", label="Words, with commas between", elem_id="words")
                with gradio.Tab("Draw"):
                    prompt = gradio.Textbox("", label="Prompt", placeholder="a photo of a ...", elem_id="prompt")
                    with gradio.Row():
                        seed = gradio.Number(0, label="Seed", precision=0, elem_id="seed")
                        steps = gradio.Slider(1, 100, 20, step=1, label="Denoising steps", elem_id="steps")
                        own = 7.5 if guidance_scale is None else guidance_scale
                        guidance = gradio.Slider(0, 20, own, step=0.5, label="Guidance scale")
                    draw_button = gradio.Button("Draw", variant="primary", elem_id="draw")
                with gradio.Tab("Photograph"):
                    upload = gradio.Image(
                        type="filepath", sources=["upload"], label="Photograph", elem_id="upload", image_mode=None
                    )
                    look_button = gradio.Button("Look", variant="primary", elem_id="look")
                variant = gradio.Dropdown([*VARIANTS], value=START_VARIANT, label="Variant", elem_id="variant")
                alpha = gradio.Slider(0, 1, 0.5, step=0.01, label="Alpha: threshold for seeds", elem_id="alpha")
                beta = gradio.Slider(0.01, 1, 0.3, step=0.01, label="Beta: what a score has to reach", elem_id="beta")
                pamr = gradio.Checkbox(True, label="Refine by the image (PAMR)", elem_id="pamr")
            with gradio.Column(scale=2):
                with gradio.Row():
                    image = gradio.Image(
                        label="Image: click a place to see where it looks", interactive=False, format="png",
                        elem_id="image", buttons=[],
                    )  # fmt: skip
                    mask = gradio.Image(label="Mask", interactive=False, format="png", elem_id="mask", buttons=[])
                    attention = gradio.Image(
                        label="Self-attention of the place", interactive=False, format="png", elem_id="attention",
                        buttons=[],
                    )  # fmt: skip
                gallery = gradio.Gallery(label="Step by step", columns=6, format="png", elem_id="gallery", height=260)
                download = gradio.DownloadButton("Download the mask", interactive=False, elem_id="download")
        thresholds = [variant, alpha, beta, pamr]
        shown = [image, mask, gallery, download]

        def show(look: Look, variant: str, alpha: float, beta: float, pamr: bool) -> list[Any]:
            return [image_picture(look), *follow(look, variant, alpha, beta, pamr)]

        def follow(look: Look | None, variant: str, alpha: float, beta: float, pamr: bool) -> list[Any]:
            if look is None:
                return [None, None, gradio.DownloadButton(interactive=False)]
            if variant not in look.variants:
                raise SeediffError(f"This model cannot make {variant!r}.\nChoose one of {', '.join(look.variants)}.")
            labels = labels_of(look, variant, alpha, beta, pamr)
            pictures = [
                (picture, f"{word}: {name}" if len(look.words) > 1 else name)
                for word in look.words
                for picture, name in step_pictures(look, word, variant, alpha)
            ]
            path = _saved(labels, folder)
            return [mask_picture(look, labels), pictures, gradio.DownloadButton(value=path, interactive=True)]

        @told
        def drawn(words: str, prompt: str, seed: int, steps: int, guidance: float, *how: Any) -> list[Any]:
            look = draw_look(pipe, prompt, words_in(words), int(seed or 0), Sampling(int(steps), float(guidance), 1))
            return [look, *show(look, *how), None]

        @told
        def looked(words: str, path: str | None, *how: Any) -> list[Any]:
            if path is None:
                raise SeediffError("Drop a photograph first.")
            look = look_at(pipe, decode_rgb(read_file(Path(path)), "The photograph"), words_in(words))
            return [look, *show(look, *how), None]

        def clicked(look: Look | None, event: Any) -> Image.Image | None:
            if look is None:
                return None
            (right, down), (width, height) = event.index, image_picture(look).size
            return attention_picture(look, down / height, right / width)

        clicked.__annotations__["event"] = gradio.SelectData  # by which gradio knows that it wants the place

        inputs = [words, prompt, seed, steps, guidance, *thresholds]
        draw_button.click(drawn, inputs, [state, *shown, attention], api_visibility="private")
        look_button.click(looked, [words, upload, *thresholds], [state, *shown, attention], api_visibility="private")
        for control in thresholds:
            control.change(
                told(follow), [state, *thresholds], [mask, gallery, download], api_visibility="private",
                show_progress="hidden",
            )  # fmt: skip
        image.select(clicked, [state], [attention], api_visibility="private")
    return blocks


def _saved(labels: Array, folder: Path) -> str:
    """A label map as a palette PNG to be downloaded."""
    path = Path(tempfile.mkdtemp(dir=folder)) / "mask.png"
    path.write_bytes(encode_mask(labels))
    return str(path)


def _telling(gradio: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Wraps what the page calls, so that what was wrong is shown in it."""

    def told(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def call(*arguments: Any) -> Any:
            try:
                return function(*arguments)
            except SeediffError as error:
                raise gradio.Error(str(error), duration=15, print_exception=False) from None

        return call

    return told
