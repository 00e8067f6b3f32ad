"""Masks of photographs: of any size, of several words at once, of whole folders."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image

import seediff
from seediff.attention.maps import competing
from seediff.cli import main
from seediff.datasets.images import decode_mask
from seediff.diffusion.model_files import embedded_folder
from seediff.diffusion.photographs import LOW_NOISE, Query, segment_batch, working_size
from seediff.errors import SeediffError
from seediff.masks.refinement import SOFT_PAMR, Refinement, refine
from seediff.masks.variants import VARIANTS, apply, resolve
from tests.tiny_pipelines import FAMILIES

MODEL = str(embedded_folder())
PROMPT = "a photo of a cat and a bus"


@pytest.fixture(scope="module")
def pipe() -> StableDiffusionPipeline:
    return seediff.load(MODEL)


def photograph(height: int, width: int, seed: int = 0) -> Any:
    """Coloured discs on a gradient, (height, width, 3) uint8."""
    rng = np.random.default_rng(seed)
    down, right = np.mgrid[:height, :width]
    image = np.stack([down * 255 // height, right * 255 // width, np.full_like(down, 90)], axis=-1)
    for _ in range(3):
        y, x, radius = rng.integers(height), rng.integers(width), rng.integers(5, 5 + min(height, width) // 4)
        image[(down - y) ** 2 + (right - x) ** 2 < radius**2] = rng.integers(0, 255, 3)
    return image.astype(np.uint8)


def test_a_single_word_is_its_mask(pipe: StableDiffusionPipeline) -> None:
    image = photograph(64, 64)
    maps = seediff.look_again(pipe, image, "a photo of a cat", LOW_NOISE)
    expected = seediff.make_mask(maps, "cat", image, variant="look")
    assert 0 < expected.mean() < 1
    np.testing.assert_array_equal(seediff.segment(pipe, image, ["cat"]), expected)
    np.testing.assert_array_equal(seediff.segment(pipe, Image.fromarray(image), ["cat"]), expected)
    np.testing.assert_array_equal(seediff.make_labels(maps, ["cat"], image, variant="look"), expected)


def test_each_pixel_goes_to_the_word_with_the_highest_score(pipe: StableDiffusionPipeline) -> None:
    image = photograph(64, 64, seed=3)
    maps = seediff.look_again(pipe, image, PROMPT)
    words = ["bus", "cat"]
    found = competing([maps.for_word(word) for word in words])
    refinement = Refinement(threshold=0.3, uncertain_from=0.2)
    scores = [refine(apply(resolve(VARIANTS["look"]), of_word), image, refinement).numpy() for of_word in found]
    expected = np.zeros((64, 64), np.uint8)
    for y, x in np.ndindex(64, 64):
        at = [score[y, x] for score in scores]
        if max(at) >= 0.3:
            expected[y, x] = 1 + at.index(max(at))
        elif max(at) >= 0.2:
            expected[y, x] = 255
    got = seediff.make_labels(maps, words, image, variant="look", refinement=refinement)
    np.testing.assert_array_equal(got, expected)
    assert {1, 2, 255} <= {*np.unique(got)}
    np.testing.assert_array_equal(seediff.segment(pipe, image, words, prompt=PROMPT, refinement=refinement), expected)


@pytest.mark.parametrize("size", [(64, 64), (100, 71), (48, 200), (600, 300)])
def test_label_maps_have_the_photographs_size(pipe: StableDiffusionPipeline, size: tuple[int, int]) -> None:
    labels = seediff.segment(pipe, photograph(*size), ["cat", "bus"])
    assert labels.shape == size and labels.dtype == np.uint8
    assert {*np.unique(labels)} <= {0, 1, 2}


def test_photographs_do_not_depend_on_their_batch(pipe: StableDiffusionPipeline) -> None:
    query, images = Query(("cat",)), [photograph(80, 120, seed) for seed in range(3)]
    together = segment_batch(pipe, images, query)
    for image, labels in zip(images, together, strict=True):
        assert (segment_batch(pipe, [image], query)[0] != labels).mean() < 0.001
    assert any((labels != together[0]).any() for labels in together[1:])


@given(height=st.integers(8, 3000), ratio=st.floats(1 / 7, 7))
def test_the_denoiser_sees_whole_levels_in_the_photographs_proportions(
    pipe: StableDiffusionPipeline, height: int, ratio: float
) -> None:
    width = max(height // 8 + 1, round(height * ratio))
    rows, columns = working_size(pipe, (height, width))
    unit = 8  # two pixels a latent, halved twice
    assert rows % unit == columns % unit == 0 and rows and columns
    for ours, exact in ((rows, 64 * (height / width) ** 0.5), (columns, 64 * (width / height) ** 0.5)):
        assert abs(ours - exact) <= max(unit / 2, unit - exact)


def test_more_timesteps_are_averaged(pipe: StableDiffusionPipeline) -> None:
    image, steps = photograph(64, 64), (("record", {"timesteps": [250, 50]}), *VARIANTS["ca_sa"])
    several = seediff.segment(pipe, image, ["cat"], variant="ca_sa", timesteps=[250, 50])
    single = seediff.segment(pipe, image, ["cat"], variant="ca_sa", timesteps=[250])
    assert (several != single).any()
    recorded = seediff.segment(pipe, image, ["cat"], variant=steps, timesteps=[900, 250, 50])
    np.testing.assert_array_equal(recorded, several)
    usual = seediff.segment(pipe, image, ["cat"], variant="ca_sa", timesteps=[LOW_NOISE])
    np.testing.assert_array_equal(seediff.segment(pipe, image, ["cat"], variant="ca_sa"), usual)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"words": []}, "is empty, but needs an entry"),
        ({"words": "cat"}, "must be a list"),
        ({"words": ["cat", "cat"]}, "'cat' is named twice"),
        ({"words": ["cat"], "prompt": "a photo of a dog"}, "class word 'cat' is not in the prompt"),
        ({"words": ["cat"], "variant": "lok"}, "Did you mean 'look'"),
        ({"words": ["cat"], "timesteps": [1000]}, "from 0 to 999"),
        ({"words": ["cat"], "timesteps": []}, "is empty"),
        ({"words": ["cat"], "timesteps": 150, "variant": "ca_sa"}, "timesteps is 150, but must be a list"),
        ({"words": ["cat"], "timesteps": [150]}, r"(?s)always looks at timestep 150.*uses them: caa, .*, ca_sa"),
        ({"words": ["cat"], "timesteps": [9], "variant": [("look_again", {"timestep": 9}), "caa"]}, "timestep 9"),
        ({"words": ["cat"], "variant": 5}, "variant is 5"),
        ({"words": 5}, "must be a list"),
        ({"words": ["cat"], "beta": 0.0}, "above 0"),
        ({"words": [f"word{number}" for number in range(300)]}, "254 at most"),
        ({"words": ["cat", *("bus " * 40).split(), "car"]}, "named twice"),
        ({"words": [f"{letter}{other} thing" for letter in "abcdefgh" for other in "xyz"]}, "cut off"),
    ],
)
def test_wrong_questions_are_refused(pipe: StableDiffusionPipeline, options: dict[str, Any], words: str) -> None:
    with pytest.raises(SeediffError, match=words):
        seediff.segment(pipe, photograph(64, 64), **options)


def test_another_look_wants_whole_latents(pipe: StableDiffusionPipeline) -> None:
    with pytest.raises(SeediffError, match=r"(?s)multiples of 2 pixels, not 33 x 64.*seediff\.segment"):
        seediff.look_again(pipe, photograph(64, 33), "a cat")


def test_a_strip_is_refused(pipe: StableDiffusionPipeline) -> None:
    with pytest.raises(SeediffError, match="more than 8 times as long as wide"):
        seediff.segment(pipe, photograph(20, 200), ["cat"])


# --- folders


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    folder = tmp_path / "photographs"
    folder.mkdir()
    Image.fromarray(photograph(70, 90, 1)).save(folder / "a.png")
    Image.fromarray(photograph(64, 64, 2)).save(folder / "b c (1).JPG", format="JPEG")
    turned = Image.Exif()
    turned[ExifTags.Base.Orientation] = 6
    Image.fromarray(photograph(60, 120, 3)).save(folder / "turned.jpg", exif=turned)
    return folder


def command(photographs: Path, output: Path, *more: str) -> int:
    words = ["--word", "cat", "--word", "bus"]
    return main(["segment", str(photographs), *words, "--model", MODEL, "--output", str(output), *more])


def test_a_folder_of_photographs(photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "out"
    assert command(photographs, output) == 0
    sizes = {}
    for path in sorted((output / "masks").iterdir()):
        labels = decode_mask(path.read_bytes(), path.name)
        assert {*np.unique(labels)} <= {0, 1, 2}
        sizes[path.name] = labels.shape
    assert sizes == {"a.png": (70, 90), "b c (1).png": (64, 64), "turned.png": (120, 60)}
    for path in photographs.iterdir():
        assert (output / "images" / path.name).read_bytes() == path.read_bytes()
    assert [*csv.reader((output / "classes.csv").open())][1:] == [["0", "background"], ["1", "cat"], ["2", "bus"]]
    before = {path: path.stat().st_mtime_ns for path in output.rglob("*.png")}
    assert command(photographs, output) == 0
    assert {path: path.stat().st_mtime_ns for path in output.rglob("*.png")} == before
    (output / "masks" / "a.png").unlink()
    assert command(photographs, output) == 0
    assert {*before} == {*output.rglob("*.png")}
    capsys.readouterr()
    assert command(photographs, output, "--beta", "0.4") == 1
    assert "holds images of other settings: beta was 0.3, is 0.4" in capsys.readouterr().err


def test_timesteps_are_noted_where_they_are_used(
    photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(photographs, tmp_path / "look", "--timestep", "150") == 1
    assert "other timesteps have no effect" in capsys.readouterr().err
    assert not (tmp_path / "look").exists()
    assert "timesteps" not in Query(("cat",)).settings
    assert Query(("cat",), variant="ca_sa").settings == Query(("cat",), variant="ca_sa", timesteps=(150,)).settings
    assert Query(("cat",), variant="ca_sa").settings["timesteps"] == [150]


def test_another_model_does_not_go_on(photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Even where nothing is left to do; and nothing is written for a model that is not there."""
    other, none = tmp_path / "other", tmp_path / "no model"
    FAMILIES["stable_diffusion"]().save_pretrained(other)
    assert command(photographs / "a.png", tmp_path / "out") == 0
    for model, words in ((other, "images of another model"), (none, "There is no model")):
        assert command(photographs / "a.png", tmp_path / "out", "--model", str(model)) == 1
        assert words in capsys.readouterr().err
    assert command(photographs / "a.png", tmp_path / "new", "--model", str(none)) == 1
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "A.png"])
def test_another_photograph_of_the_same_name_is_refused(
    photographs: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    output, other = tmp_path / "out", tmp_path / "other" / name
    other.parent.mkdir()
    Image.fromarray(photograph(70, 90, 7)).save(other)
    assert command(photographs / "a.png", output) == 0
    before = {path: path.read_bytes() for path in output.rglob("*.*")}
    assert command(other, output) == 1
    assert "images holds another a.png" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in output.rglob("*.*")} == before


def test_what_cannot_be_read_is_listed_and_the_others_go_on(
    photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (photographs / "broken.jpg").write_bytes((photographs / "turned.jpg").read_bytes()[:900])
    (photographs / "movie.png").write_bytes(b"not a picture")
    Image.fromarray(photograph(20, 300)).save(photographs / "strip.png")
    assert command(photographs, tmp_path / "out") == 1
    printed = capsys.readouterr().out
    assert "3 photographs were left out" in printed
    for name, why in (("broken.jpg", "not a readable"), ("movie.png", "not a readable"), ("strip.png", "8 times")):
        assert any(name in line or "300 x 20" in line for line in printed.splitlines() if why in line), name
    assert {path.name for path in (tmp_path / "out/masks").iterdir()} == {"a.png", "b c (1).png", "turned.png"}


def test_photographs_of_the_same_name_are_refused(
    photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.fromarray(photograph(64, 64)).save(photographs / "A.webp")
    assert command(photographs, tmp_path / "out") == 1
    assert "A.webp" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_photograph_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(tmp_path / "none.png", tmp_path / "out") == 1
    assert "There is no photograph" in capsys.readouterr().err


def test_only_pipelines_that_look_again(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SeediffError, match="Stable Diffusion 1 and 2 alone"):
        seediff.segment(FAMILIES["stable_diffusion_xl"](), photograph(64, 64), ["cat"])


def test_scores_are_refined_at_the_size_that_the_denoiser_sees(pipe: StableDiffusionPipeline) -> None:
    """A photograph twice as large as drawn ones gives the same objects, enlarged."""
    image = photograph(64, 64, seed=5)
    large = np.asarray(Image.fromarray(image).resize((128, 128), Image.Resampling.BICUBIC))
    labels = torch.tensor(seediff.segment(pipe, large, ["cat"], refinement=SOFT_PAMR))
    again = torch.tensor(seediff.segment(pipe, image, ["cat"])).repeat_interleave(2, 0).repeat_interleave(2, 1)
    assert (labels == again).float().mean() > 0.9
