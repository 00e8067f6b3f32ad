"""The paper's qualitative figures, of images whose objects, seeds and attention are made by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from seediff.attention.calls import ALL
from seediff.attention.maps import AttentionMaps, normalize
from seediff.attention.tokens import TokenizedPrompt
from seediff.datasets.palettes import overlay
from seediff.diffusion.synthesis import Drawn
from seediff.errors import SeediffError
from seediff.masks.make import make_mask, make_score
from seediff.masks.refinement import PamrSettings, Refinement, refine, to_mask
from seediff.prompts.prompt_sets import Prompt
from seediff.workflow.reporting.galleries import GALLERIES, RED, TINT, Method, at_point
from seediff.workflow.reporting.grids import DPI, GAP, LINE, SIDE, PictureGrid, PictureRow, picture, write_gallery

SIDES, LATENTS, PIXELS = (4, 8, 16), 16, 32
RAW = Method(refinement=Refinement(pamr=None, threshold=0.3))
REFINED = Method(0.25, Refinement(pamr=PamrSettings(2, (1, 2)), threshold=0.3))

OBJECT = torch.tensor([[1.0, 1, 0, 0]] * 4)


def drawn(name: str, seeds: list[tuple[int, int]], noise: float = 0.0) -> Drawn:
    """An image whose places look only at object or only at background; ``seeds``: positions of the 4 x 4 map."""
    generator = torch.Generator().manual_seed(len(name))
    marks = torch.zeros(4, 4)
    marks[tuple(zip(*seeds, strict=True))] = 1
    cross, self_ = {}, {}
    for r in SIDES:
        kind, found = (flat.kron(torch.ones(r // 4, r // 4)).flatten() for flat in (OBJECT, marks))
        cross[r, r] = torch.stack([torch.ones(r * r), torch.ones(r * r), found, torch.ones(r * r)], 1)
        same = (kind[:, None] == kind[None]).float()
        self_[r, r] = same + noise * torch.rand(same.shape, generator=generator)
    tokens = ("<|startoftext|>", "a</w>", "cat</w>", "<|endoftext|>")
    image = np.random.default_rng(len(name)).integers(0, 256, (PIXELS, PIXELS, 3), dtype=np.uint8)
    prompt = TokenizedPrompt("a cat", tokens, ((0, 0), (0, 1), (2, 5), (0, 0)))
    maps = AttentionMaps(prompt, cross, self_, (LATENTS, LATENTS))
    return Drawn(Prompt(name, name, 0, "a cat", "cat", 0), image, {ALL: maps})


@pytest.fixture(scope="module")
def two() -> list[Drawn]:
    return [drawn("cat", [(0, 0), (1, 1)], 0.5), drawn("other cat", [(2, 1)], 0.5)]


def tiles(figure: str, drawn: Drawn, method: Method = REFINED) -> dict[str, Any]:
    return dict(GALLERIES[figure].grid([drawn], method).rows[0].tiles)


AT_SIDES = ("4 × 4 (1/4)", "8 × 8 (1/2)", "16 × 16 (1)")
BEFORE_AND_AFTER = ("score before (IRE)", "background map", "score after (SeeDiff)")
COMPARED = ("image", "DiffuMask (CAA)", "Dataset Diffusion (CA·SA)", "SeeDiff")
COLUMNS: dict[str, tuple[str, ...]] = {
    "figure1": ("image", "DiffuMask (CAA)", "SeeDiff"),
    "figure3": ("image", *(f"cross-attention {side}" for side in AT_SIDES)),
    "figure4": ("image", *(f"self-attention {side}" for side in AT_SIDES)),
    "figure5": ("image with seeds", "score before (IRE)", "score after (SeeDiff)", "final mask"),
    "figure6": ("image", *BEFORE_AND_AFTER, "final mask"),
    "figureS1": ("image", "DiffuMask (CAA)", "seeds from 4 × 4 (1/4)", *(f"expanded {side}" for side in AT_SIDES)),
    "figureS2": ("image", *BEFORE_AND_AFTER, "final mask before PAMR"),
    "figureS3": COMPARED,
    "figureS4": COMPARED,
    "figureS5": ("image", "mask", "mask on the image"),
}


@pytest.mark.parametrize("name", GALLERIES)
def test_a_figure_has_a_row_an_image_and_its_columns(name: str, two: list[Drawn]) -> None:
    grid = GALLERIES[name].grid(two, REFINED)
    assert tuple(title.replace("\N{NO-BREAK SPACE}", " ") for title in grid.columns) == COLUMNS[name]
    # Two images and, where there are colours to explain, the bar of colours.
    assert len(picture(grid).axes) == 2 * len(COLUMNS[name]) + grid.has_scores
    opened = GALLERIES[name].prompts == "open"
    assert {row.title for row in grid.rows} == ({"“a cat”"} if opened else {"cat", "other cat"})
    assert opened == (name in ("figureS4", "figureS5"))
    assert [row.note for row in grid.rows] == ["class word: cat"] * 2 or not opened


def test_scores_and_masks_are_those_of_the_library(two: list[Drawn]) -> None:
    first = two[0]
    masks = {
        variant: make_mask(
            first.recorded[ALL], "cat", first.image, variant, REFINED.alpha, refinement=REFINED.refinement
        )
        for variant in ("caa", "ca_sa", "seediff")
    }
    soft = tiles("figure1", first)
    assert soft["SeeDiff"].shape == (PIXELS, PIXELS)
    assert ((soft["SeeDiff"] >= 0.3) == masks["seediff"]).all()
    assert ((soft["DiffuMask (CAA)"] >= 0.3) == masks["caa"]).all()
    for (title, tile), mask in zip(list(tiles("figureS3", first).items())[1:], masks.values(), strict=True):
        assert (np.asarray(tile) == np.asarray(overlay(first.image, mask, TINT))).all(), title
    assert (tiles("figureS5", first)["mask"] == 255 * masks["seediff"][..., None]).all()


def test_figure_3_shows_the_class_maps(two: list[Drawn]) -> None:
    *_, last = tiles("figure3", two[0]).values()
    assert (last == two[0].recorded[ALL].for_word("cat").class_map((16, 16)).numpy()).all()


def test_figure_6_weighs_the_score_before_by_the_background(two: list[Drawn]) -> None:
    _, before, behind, after, mask = tiles("figure6", two[0]).values()
    assert np.allclose(normalize(torch.tensor((1 - behind) * before)), after, atol=1e-6)
    assert np.allclose(after, make_score(two[0].recorded[ALL], "cat", "seediff", REFINED.alpha))
    assert behind[:, 8:].mean() > 0.7 > 0.3 > behind[:, :8].mean()
    raw = to_mask(refine(torch.tensor(after), two[0].image, RAW.refinement), 1, 0.3)
    last = np.asarray(tiles("figureS2", two[0])["final mask before PAMR"])
    assert (last == np.asarray(overlay(two[0].image, raw, TINT))).all()
    assert (last != np.asarray(mask)).any()


def test_figure_s1_shows_every_round_at_its_own_side(two: list[Drawn]) -> None:
    _, caa, *rounds = tiles("figureS1", two[1]).values()
    assert [len(score) for score in rounds] == [4, 4, 8, 16]
    assert np.allclose(caa, make_score(two[1].recorded[ALL], "cat", "caa", REFINED.alpha))
    assert rounds[0].sum() == 1 and rounds[0][2, 1] == 1
    assert (rounds[1][:, :2] > 0.5).all() and (rounds[1][:, 2:] < 0.5).all()
    assert np.allclose(rounds[3], make_score(two[1].recorded[ALL], "cat", "ire", REFINED.alpha))


# Figure 4: the dot.


def is_red(image: Any) -> np.ndarray:
    return (np.asarray(image) == RED).all(-1)


def test_the_dot_is_where_the_coarse_class_map_is_largest(two: list[Drawn]) -> None:
    image, *looks = tiles("figure4", two[1]).values()
    rows, columns = np.nonzero(is_red(image))
    # The only seed of this image is position (2, 1) of 4 x 4.
    assert rows.mean() / image.height == pytest.approx(2.5 / 4, abs=0.01)
    assert columns.mean() / image.width == pytest.approx(1.5 / 4, abs=0.01)
    for look, (r, at) in zip(looks, {4: (2, 1), 8: (5, 3), 16: (10, 6)}.items(), strict=True):
        expected = two[1].recorded[ALL].self_attention[r, r][at[0] * r + at[1]].view(r, r).clone()
        expected[at] = 0
        expected[at] = expected.max()
        assert np.allclose(look, normalize(expected)), r


def test_the_dot_goes_where_it_is_put(two: list[Drawn]) -> None:
    image, coarse, *_ = at_point(1, 0).grid(two, RAW).rows[0].tiles.values()
    assert is_red(image)[0, -1] and not is_red(image)[-1, 0]
    # The top right corner is background, which looks at background.
    assert (np.asarray(coarse)[:, 2:] > np.asarray(coarse)[:, :2].max()).mean() > 0.5
    for x, y in ((1.01, 0.5), (0.5, -0.01), (float("nan"), 0)):
        with pytest.raises(SeediffError, match="not in the image"):
            at_point(x, y).grid(two)


# Figure 5: which images.

SOME = {
    "good": drawn("good", [(row, column) for row in range(4) for column in range(2)]),
    "sparse": drawn("sparse", [(1, 1)]),
    "less sparse": drawn("less sparse", [(1, 1), (2, 0)]),
    "stray": drawn("stray", [(0, 0), (1, 0), (1, 2)]),
    "less stray": drawn("less stray", [(0, 0), (1, 0), (2, 0), (1, 2)]),
}


@pytest.mark.parametrize("order", [1, -1])
def test_figure_5_chooses_by_what_it_measures(order: int) -> None:
    rows = GALLERIES["figure5"].grid(list(SOME.values())[::order], RAW).rows
    assert [(row.title, row.note) for row in rows] == [
        ("stray", "(a) 33% of the seeds' area outside the mask"),
        ("less stray", "(a) 25% of the seeds' area outside the mask"),
        ("sparse", "(b) seeds' area 12% of the mask's"),
        ("less sparse", "(b) seeds' area 25% of the mask's"),
    ]
    seeds = np.asarray(rows[2].tiles["image with seeds"])
    paled = np.asarray(overlay(SOME["sparse"].image, np.zeros((PIXELS, PIXELS), np.uint8), TINT))
    marked = (seeds != paled).any(-1)
    assert marked[8:16, 8:16].all() and marked.sum() == 8 * 8


@pytest.mark.parametrize(("number", "kinds"), [(1, "a"), (2, "ab"), (3, "aab"), (5, "aabb")])
def test_figure_5_of_few_images(number: int, kinds: str) -> None:
    rows = GALLERIES["figure5"].grid(list(SOME.values())[:number], RAW).rows
    assert "".join(row.note[1] for row in rows) == kinds
    assert len({row.title for row in rows}) == len(rows)


# The picture and its files.


def test_tiles_stand_in_their_rows_and_columns(tmp_path: Path) -> None:
    values = np.array([[0.1, 0.4, 0.7], [0.2, 0.5, 0.9]])
    rows = [PictureRow("cat", "", {f"column {j}": np.full((2, 2), values[i, j]) for j in range(3)}) for i in range(2)]
    figure = picture(PictureGrid(rows, "the key"))
    write_gallery(figure, tmp_path / "grid")
    image = (matplotlib.image.imread(tmp_path / "grid.png")[..., :3] * 255).round().astype(int)
    assert image.shape[:2] == tuple(round(side * DPI) for side in figure.get_size_inches()[::-1])
    left, top = image.shape[1] - 3 * (SIDE + GAP), LINE + GAP
    for (i, j), value in np.ndenumerate(values):
        at = (top + i * (SIDE + GAP), left + j * (SIDE + GAP))
        tile = image[at[0] + 2 : at[0] + SIDE - 2, at[1] + 2 : at[1] + SIDE - 2]
        assert (tile == matplotlib.colormaps["viridis"](value, bytes=True)[:3]).all(), (i, j)
        assert (image[at[0] : at[0] + SIDE, at[1] + SIDE + 2 : at[1] + SIDE + GAP - 2] == 255).all(), (i, j)
    bottom = top + 2 * (SIDE + GAP)
    for written in (image[:top, left:], image[top : top + SIDE, :left], image[bottom + LINE :, :left]):
        assert (written < 128).any()


def test_a_prompt_is_no_formula(tmp_path: Path) -> None:
    tile = np.zeros((2, 2))
    write_gallery(picture(PictureGrid([PictureRow("a $\\cat$ <b>", "$x", {"$y$": tile})])), tmp_path / "a")
    assert (tmp_path / "a.png").stat().st_size > 0


def test_a_long_prompt_stays_in_its_row() -> None:
    figure = picture(PictureGrid([PictureRow("a photograph of a cat " * 20, "", {"image": np.zeros((2, 2))})]))
    lines = [text.get_text() for text in figure.texts if "cat" in text.get_text() or "…" in text.get_text()]
    assert len(lines) * LINE < SIDE and lines[-1].endswith("…")


def test_files_are_the_same_bytes_twice(tmp_path: Path, two: list[Drawn]) -> None:
    for stem in ("first", "second.one"):
        write_gallery(picture(GALLERIES["figure6"].grid(two, REFINED)), tmp_path / stem)
    assert len(list(tmp_path.iterdir())) == 4
    for kind in ("png", "pdf"):
        content = (tmp_path / f"first.{kind}").read_bytes()
        assert content == (tmp_path / f"second.one.{kind}").read_bytes()
        assert not any(word in content for word in (b"CreationDate", b"Matplotlib", b"matplotlib"))
    assert (tmp_path / "first.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize(("fails_at", "left"), [("png", set()), ("pdf", {"a.png"})])
def test_no_half_a_file_is_left(tmp_path: Path, monkeypatch: Any, fails_at: str, left: set[str]) -> None:
    whole = Figure.savefig

    def broken(self: Figure, path: Path, *, format: str, **options: Any) -> None:
        whole(self, path, format=format, **options)
        if format == fails_at:
            raise OSError("gone")

    monkeypatch.setattr(Figure, "savefig", broken)
    with pytest.raises(OSError, match="gone"):
        write_gallery(picture(PictureGrid([PictureRow("a", "", {"b": np.zeros((2, 2))})])), tmp_path / "a")
    assert {path.name for path in tmp_path.iterdir()} == left


def test_what_makes_no_figure_is_refused() -> None:
    for name in ("figure1", "figure5"):
        with pytest.raises(SeediffError, match="at least one image"):
            GALLERIES[name].grid([], RAW)
    tile = np.zeros((2, 2))
    with pytest.raises(SeediffError, match="Row 'b' has other columns than row 'a'"):
        PictureGrid([PictureRow("a", "", {"image": tile}), PictureRow("b", "", {"map": tile})])
