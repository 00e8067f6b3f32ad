"""Shards: what is written is read, and anything damaged, unfinished or malicious is refused."""

from __future__ import annotations

import errno
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seediff.datasets.shards import (
    Sample,
    check_same_model,
    manifest_path,
    open_shard,
    read_manifest,
    read_shard,
    write_shard,
)
from seediff.errors import SeediffError
from seediff.files.sealed import read_json, write_json

KEYS = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9 _-]{0,20}[A-Za-z0-9_-])?", fullmatch=True)
FILES = st.dictionaries(
    st.from_regex(r"[a-z0-9_]{1,8}", fullmatch=True), st.binary(max_size=1200), min_size=1, max_size=3
)
SAMPLES = st.dictionaries(KEYS, FILES, max_size=5).map(lambda found: [Sample(*item) for item in found.items()])

THREE = [Sample(f"cat-{i:06d}", {"png": bytes([i]) * (500 + 20 * i), "json": b'{"index": %d}' % i}) for i in range(3)]


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    path = tmp_path / "cat" / "0000.tar"
    write_shard(path, THREE)
    return path


def refusal(path: Path) -> str:
    """The message with which reading in order is refused; it names the shard in three lines at most."""
    with pytest.raises(SeediffError) as caught:
        list(read_shard(path))
    message = str(caught.value)
    assert path.stem in message and message.count("\n") <= 2
    return message


@settings(max_examples=30, deadline=None)
@given(SAMPLES)
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, samples: list[Sample]) -> None:
    path = tmp_path_factory.mktemp("shard") / "0000.tar"
    write_shard(path, iter(samples))
    assert list(read_shard(path)) == samples
    index = open_shard(path)
    assert index.keys == tuple(sample.key for sample in samples)
    for sample in reversed(samples):
        for extension, content in sample.files.items():
            assert index.read(sample.key, extension) == content
    with tarfile.open(path) as tar:  # any tar reader agrees
        expected = {f"{s.key}.{extension}": content for s in samples for extension, content in s.files.items()}
        assert {member.name: tar.extractfile(member).read() for member in tar} == expected


def test_equal_samples_give_equal_bytes(tmp_path: Path) -> None:
    shuffled = [Sample(sample.key, dict(reversed(sample.files.items()))) for sample in THREE]
    straight, reordered = tmp_path / "a" / "0000.tar", tmp_path / "b" / "0000.tar"
    write_shard(straight, THREE)
    write_shard(reordered, shuffled)
    assert straight.read_bytes() == reordered.read_bytes()
    assert manifest_path(straight).read_bytes() == manifest_path(reordered).read_bytes()


def test_samples_are_streamed(tmp_path: Path) -> None:
    path = tmp_path / "0000.tar"

    def watching() -> Iterator[Sample]:
        for number in range(20):
            unfinished = path.with_name("0000.tar.partial")
            assert unfinished.stat().st_size > (number - 2) * 200_000
            yield Sample(f"k{number}", {"bin": bytes(200_000)})

    write_shard(path, watching())


@pytest.mark.parametrize("where", ["header", "content", "padding", "between samples", "end blocks", "nothing left"])
def test_truncated_shard(shard: Path, where: str) -> None:
    members = list(open_shard(shard).members.values())
    last = members[-1]
    size = {
        "header": last.offset - 100,
        "content": last.offset + 3,
        "padding": last.offset + last.size + 1,
        "between samples": members[1].offset + 512,
        "end blocks": shard.stat().st_size - 512,
        "nothing left": 0,
    }[where]
    shard.write_bytes(shard.read_bytes()[:size])
    assert "bytes" in refusal(shard)
    with pytest.raises(SeediffError, match="0000"):
        open_shard(shard)


def test_truncation_while_reading(shard: Path) -> None:
    index, reader = open_shard(shard), read_shard(shard)
    next(reader)
    shard.write_bytes(shard.read_bytes()[:2000])
    with pytest.raises(SeediffError, match="changed"):
        list(reader)
    with pytest.raises(SeediffError, match="changed"):
        index.read(THREE[2].key, "png")


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_flipped_bit_is_noticed(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    path = tmp_path_factory.mktemp("shard") / "0000.tar"
    write_shard(path, THREE)
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(content)
    assert "Delete it and run again" in refusal(path)


def test_changed_content_is_noticed_at_random_access(shard: Path) -> None:
    index = open_shard(shard)
    content = bytearray(shard.read_bytes())
    content[index.members["cat-000001.png"].offset + 7] ^= 4
    shard.write_bytes(content)
    assert index.read("cat-000000", "png") == THREE[0].files["png"]
    with pytest.raises(SeediffError, match=r"0000\.tar.*cat-000001\.png has changed"):
        index.read("cat-000001", "png")


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_damaged_manifest_never_changes_what_is_read(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("shard") / "0000.tar"
    write_shard(path, THREE)
    content = bytearray(manifest_path(path).read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    manifest_path(path).write_bytes(content)
    try:
        assert list(read_shard(path)) == THREE
    except SeediffError as error:
        assert "0000" in str(error)


@pytest.mark.parametrize(
    "change",
    [
        {"format_version": 2},
        {"samples": 7},
        {"size": "large"},
        {"members": None},
        {"members": [{"name": "a.png"}]},
        {"members": []},
    ],
)
def test_a_manifest_that_makes_no_sense(shard: Path, change: dict[str, object]) -> None:
    manifest = read_json(manifest_path(shard), "The manifest")
    write_json(manifest_path(shard), manifest | change)
    assert "not as it was written" not in refusal(shard)


def test_missing_files(shard: Path, tmp_path: Path) -> None:
    manifest_path(shard).rename(tmp_path / "kept")
    assert "no manifest" in refusal(shard)
    (tmp_path / "kept").rename(manifest_path(shard))
    shard.unlink()
    assert "There is no shard" in refusal(shard)


class Killed(BaseException):
    """Stands for SIGKILL: the writer runs nothing after it."""


@pytest.mark.parametrize("renames", [0, 1])
def test_killed_before_or_between_the_renames(shard: Path, monkeypatch: pytest.MonkeyPatch, renames: int) -> None:
    """An older shard is replaced, and the writer dies: readers refuse what is left, or it is the old shard."""
    done: list[Path] = []
    rename = Path.replace

    def killing(self: Path, target: Path) -> Path:
        if len(done) == renames:
            raise Killed
        done.append(target)
        return rename(self, target)

    monkeypatch.setattr(Path, "replace", killing)
    with pytest.raises(Killed):
        write_shard(shard, [Sample("dog-000000", {"png": b"new"})])
    assert done == [shard][:renames], "the tar is in place before its manifest is"
    assert "no manifest" in refusal(shard)


def test_old_and_new_are_never_taken_for_a_pair(shard: Path, tmp_path: Path) -> None:
    """Even of equal size and layout."""
    other = tmp_path / "other.tar"
    write_shard(other, [Sample(s.key, {name: content[::-1] for name, content in s.files.items()}) for s in THREE])
    assert other.stat().st_size == shard.stat().st_size
    shard.write_bytes(other.read_bytes())
    assert "changed" in refusal(shard)


def test_a_shard_in_the_place_of_another_is_refused(tmp_path: Path) -> None:
    """With its manifest, so that only its place is wrong."""
    places = [tmp_path / "masks" / "basic" / name / "0000.tar" for name in ("caa-raw", "seediff-raw")]
    for place in places:
        write_shard(place, THREE)
    for source, target in ((places[0], places[1]), (manifest_path(places[0]), manifest_path(places[1]))):
        target.write_bytes(source.read_bytes())
    assert "written as masks/basic/caa-raw/0000.json" in refusal(places[1])


@pytest.mark.parametrize("key", ["../evil", "/etc/passwd", "a/b", "", ".hidden", "a\0b", "x..y", "k" * 65, "é"])
def test_malicious_keys_are_not_written(tmp_path: Path, key: str) -> None:
    with pytest.raises(SeediffError, match="cannot be used as a name"):
        write_shard(tmp_path / "0000.tar", [Sample(key, {"png": b""})])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("extension", ["", "p/ng", "..", "a.b", "p" * 17])
def test_malicious_extensions_are_not_written(tmp_path: Path, extension: str) -> None:
    with pytest.raises(SeediffError, match="extension"):
        write_shard(tmp_path / "0000.tar", [Sample("key", {extension: b""})])


@pytest.mark.parametrize("name", ["../../evil.png", "/etc/passwd.png", "a/b.png", "noextension", "cat.p/g"])
def test_malicious_member_names_are_not_read(shard: Path, name: str) -> None:
    """Renamed consistently in tar and manifest, as an attacker would."""
    manifest = read_json(manifest_path(shard), "The manifest")
    first = manifest["members"][0]
    header = tarfile.TarInfo(name)
    header.size = first["size"]
    content = shard.read_bytes()
    shard.write_bytes(header.tobuf(tarfile.USTAR_FORMAT) + content[512:])
    first["name"] = name
    manifest["samples"] += 1
    write_json(manifest_path(shard), manifest)
    assert "is not a plain name" in refusal(shard)


def test_repeated_keys_and_empty_samples(tmp_path: Path) -> None:
    with pytest.raises(SeediffError, match="cat-000000"):
        write_shard(tmp_path / "0000.tar", [THREE[0], THREE[0]])
    with pytest.raises(SeediffError, match="no files"):
        write_shard(tmp_path / "0000.tar", [Sample("cat", {})])
    assert list(tmp_path.iterdir()) == []


def test_full_disk(tmp_path: Path) -> None:
    def filling() -> Iterator[Sample]:
        yield THREE[0]
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(SeediffError, match="disk is full"):
        write_shard(tmp_path / "0000.tar", filling())
    assert list(tmp_path.iterdir()) == []


def test_unknown_key(shard: Path) -> None:
    with pytest.raises(SeediffError, match=r"0000\.tar holds no dog-000000\.png"):
        open_shard(shard).read("dog-000000", "png")


def test_a_manifest_says_which_model_drew_the_shard(tmp_path: Path) -> None:
    drawn, made = tmp_path / "drawn.tar", tmp_path / "made.tar"
    write_shard(drawn, THREE, {"weights": "a", "configuration": "b"})
    write_shard(made, THREE)
    assert read_manifest(drawn).model == open_shard(drawn).model == {"weights": "a", "configuration": "b"}
    assert read_manifest(made).model == {} and "model" not in read_json(manifest_path(made), "The manifest")
    assert drawn.read_bytes() == made.read_bytes()


def test_shards_of_two_models_do_not_go_together() -> None:
    first, second = Path("first.tar"), Path("second.tar")
    check_same_model([(first, {"weights": "a"}), (Path("older.tar"), {}), (second, {"weights": "a"})])
    check_same_model([])
    with pytest.raises(SeediffError, match=r"first.tar and second.tar were drawn by different models: other weights\."):
        check_same_model([(first, {"weights": "a"}), (Path("older.tar"), {}), (second, {"weights": "b"})])
    with pytest.raises(SeediffError, match="different models: other adapter"):
        check_same_model([(first, {"weights": "a"}), (second, {"weights": "a", "adapter": "b"})])


def test_a_manifest_with_a_model_that_makes_no_sense(shard: Path) -> None:
    content = read_json(manifest_path(shard), "The manifest")
    for model in ("text", [1], 5, None):
        write_json(manifest_path(shard), {**content, "model": model})
        assert "not a shard manifest" in refusal(shard)
