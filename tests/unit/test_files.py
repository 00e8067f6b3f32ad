"""Files are complete or absent, and are read only if unchanged and in their place."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seediff.errors import SeediffError
from seediff.files.arrays import read_arrays, write_arrays
from seediff.files.sealed import read_csv, read_json, read_page, write_csv, write_json, write_page
from seediff.files.seals import name_of
from seediff.training.checkpoint import load_tensors, save_tensors

JSON = {"classes": ["a", "b"], "confusion": [[5, 1], [0, 7]], "auc": 0.1 + 0.2, "none": None, "nan": float("nan")}
ROWS = [{"key": f"cat-{i}", "loss": i / 3, "text": 'a, "b"\r\nc'} for i in range(3)]
ARRAYS = {"cells": np.arange(6, dtype=np.uint8), "share": np.array(0.5)}
TENSORS = {
    "weight": torch.arange(6.0).view(2, 3),
    "count": torch.tensor(3),
    "half": torch.ones(2, dtype=torch.bfloat16),
}

FORMS: dict[str, tuple[Callable[[Path], Any], Callable[[Path], Any]]] = {
    "json": (lambda path: write_json(path, JSON), lambda path: read_json(path, "The file")),
    "csv": (lambda path: write_csv(path, ROWS), lambda path: read_csv(path, "The file")),
    "html": (lambda path: write_page(path, "<p>1</p>\n"), lambda path: read_page(path, "The file")),
    "npz": (lambda path: write_arrays(path, ARRAYS), lambda path: read_arrays(path, "The file")),
    "safetensors": (
        lambda path: save_tensors(path, TENSORS, {"iteration": 3}),
        lambda path: str(sorted(load_tensors(path, "The file")[0].items())) + str(load_tensors(path, "The file")[1]),
    ),
}
"""Suffix: how such a file is written and read."""


def written(folder: Path, form: str, place: str = "metrics/caa/swin/0") -> Path:
    path = folder / "results" / place / f"voc.{form}"
    FORMS[form][0](path)
    return path


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    assert str(FORMS["json"][1](written(tmp_path, "json"))) == str(JSON)
    rows = [{name: str(value) for name, value in row.items()} for row in ROWS]
    assert FORMS["csv"][1](written(tmp_path, "csv")) == rows
    assert FORMS["html"][1](written(tmp_path, "html")) == "<p>1</p>\n"
    assert str(FORMS["npz"][1](written(tmp_path, "npz"))) == str(ARRAYS)
    tensors, about = load_tensors(written(tmp_path, "safetensors"), "The file")
    assert about == {"iteration": 3} and all(torch.equal(tensors[name], TENSORS[name]) for name in TENSORS)


def test_the_same_content_gives_the_same_bytes(tmp_path: Path, form: str) -> None:
    assert written(tmp_path / "a", form).read_bytes() == written(tmp_path / "b", form).read_bytes()


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(FORMS)), st.data())
def test_any_damage_is_harmless_or_named(
    tmp_path_factory: pytest.TempPathFactory, form: str, data: st.DataObject
) -> None:
    path = written(tmp_path_factory.mktemp("files"), form)
    expected, content = str(FORMS[form][1](path)), bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        content[place] ^= 1 << data.draw(st.integers(0, 7))
    else:
        del content[place:]
    path.write_bytes(content)
    try:
        assert str(FORMS[form][1](path)) == expected
    except SeediffError as error:
        assert str(path) in str(error) and len(str(error).splitlines()) <= 3


def test_a_missing_row_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "history.csv"
    write_csv(path, [{"iteration": number} for number in range(4)])
    lines = path.read_bytes().splitlines(keepends=True)
    for kept in (lines[:1], lines[:-1], [lines[0], *lines[2:]], [lines[0], *lines[:0:-1]]):
        path.write_bytes(b"".join(kept))
        with pytest.raises(SeediffError, match=r"history\.csv is not as it was written"):
            read_csv(path, "The history")


def test_another_runs_file_is_refused(tmp_path: Path, form: str) -> None:
    path, other = written(tmp_path, form), written(tmp_path, form, "metrics/ire/swin/0")
    path.write_bytes(other.read_bytes())
    with pytest.raises(SeediffError, match=rf"metrics/caa/swin/0/voc\.{form} is"):
        FORMS[form][1](path)


def test_results_can_be_moved_whole(tmp_path: Path, form: str) -> None:
    path = written(tmp_path, form)
    before = str(FORMS[form][1](path))
    shutil.move(tmp_path / "results", tmp_path / "elsewhere")
    assert str(FORMS[form][1](tmp_path / "elsewhere" / "metrics/caa/swin/0" / path.name)) == before


def test_names_are_paths_below_a_studys_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "masks" / "basic" / "caa-raw").mkdir(parents=True)
    assert name_of(tmp_path / "masks" / "basic" / "caa-raw" / "0000.json") == "masks/basic/caa-raw/0000.json"
    assert name_of(Path("results/mini/metrics/masks/swin/0/voc.json")) == "metrics/masks/swin/0/voc.json"
    assert name_of(Path("data/mini/voc/domain.json")) == "domain.json"
    monkeypatch.chdir(tmp_path / "masks" / "basic")
    assert name_of(Path("caa-raw/0000.json")) == "masks/basic/caa-raw/0000.json"
