"""Ranges on command lines name exactly the files that they stand for, in their order."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seediff.errors import SeediffError
from seediff.workflow.layout import as_ranges, range_files

parts = st.sampled_from(["results/a/images/cat", "results/a/images/cat/0001", "b 0001", "x{y}"])
numbered = st.builds(
    lambda folder, number, end: f"{folder}/{number:04d}{end}",
    parts,
    st.integers(0, 10_003),
    st.sampled_from([".tar", ".json"]),
)
other = st.sampled_from(["data/voc/domain.json", "a/1.tar", "a/00001.tar", "a/0001", ".tar", "\n/0001.tar"])


def files(texts: list[str]) -> list[str]:
    return [str(path) for path in chain.from_iterable(map(range_files, texts))]


@given(st.lists(st.one_of(numbered, other)))
def test_there_and_back(paths: list[str]) -> None:
    assert files(as_ranges(paths)) == paths


@given(parts, st.integers(0, 20_000), st.integers(1, 300))
def test_a_range_for_files_that_count_up(folder: str, first: int, count: int) -> None:
    paths = [f"{folder}/{number:04d}.tar" for number in range(first, first + count)]
    assert len(as_ranges(paths)) == 1 and files(as_ranges(paths)) == paths


def test_how_a_range_is_written() -> None:
    assert as_ranges(["a/0009.tar", "a/0010.tar", "b/0011.tar"]) == ["a/{0009..0010}.tar", "b/0011.tar"]
    assert as_ranges(["a/0001.tar", "a/0003.tar", "a/0002.tar"]) == ["a/0001.tar", "a/0003.tar", "a/0002.tar"]


@pytest.mark.parametrize("text", ["a/{0002..0001}.tar", "a/{0000..9999999}.tar"])
def test_a_range_of_nothing_or_too_much_is_refused(text: str) -> None:
    with pytest.raises(SeediffError, match="names no files"):
        range_files(text)


def test_the_shards_of_the_largest_study_fit_on_a_command_line() -> None:
    paths = [f"results/large/images/basic/class{k:03d}/{block:04d}.tar" for k in range(254) for block in range(400)]
    assert sum(len(text) + 3 for text in as_ranges(paths)) < 2**16
    assert [*chain.from_iterable(map(range_files, as_ranges(paths)))] == [*map(Path, paths)]
