"""The pictures of docs/methods: one for each page that shows one, small enough to be in the repository."""

from __future__ import annotations

import re
from pathlib import Path

from PIL import Image

from seediff.diffusion.loading import load
from seediff.diffusion.synthesis import Sampling, draw
from seediff.prompts.prompt_sets import make_prompts
from seediff.workflow.reporting.docs_pictures import draw_pictures
from tests.conftest import ROOT

METHODS = ROOT / "docs" / "methods"


def test_every_picture_is_drawn(tmp_path: Path) -> None:
    prompts = make_prompts("methods", ("bus", "cat"), 2)
    sampling = Sampling(num_inference_steps=2, guidance_scale=2.0, batch_size=4)
    draw_pictures(list(draw(load(ROOT / "assets" / "pictograms"), prompts, sampling)), tmp_path)
    drawn = {path.name for path in tmp_path.iterdir()}
    assert drawn == {path.name for path in METHODS.glob("*.png")} - {"lora.png"}  # of ``adaptation.comparison``
    assert all(Image.open(path).width > 100 for path in tmp_path.iterdir())


def test_pages_show_pictures_that_are_there() -> None:
    for page in METHODS.glob("*.md"):
        for target in re.findall(r"!\[[^]]+\]\(([^)]+)\)", page.read_text()):
            assert (METHODS / target).is_file(), page
    assert all(path.stat().st_size < 200_000 for path in METHODS.glob("*.png"))
