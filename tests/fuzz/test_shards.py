"""Hostile shards: read as what the manifest promises, or refused; nothing is ever unpacked."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from safetensors.numpy import save

from seediff.datasets.images import encode_png
from seediff.datasets.shards import Sample, manifest_path, open_shard, write_shard
from seediff.errors import SeediffError
from tests.fuzz.hostile import damaged, tampered, values
from tests.fuzz.sandbox import Sandbox, cases, sandbox

pytestmark = pytest.mark.fuzz

SPEC = json.dumps({
    "classes": ["cat", "car"],
    "variants": {"cat": "caa", "car": "caa"},
    "refinement": {"pamr": {"iterations": 1, "dilations": [1, 2]}, "threshold": 0.5},
})  # fmt: skip
IMAGE, ABOUT = encode_png(np.zeros((16, 16, 3), np.uint8)), json.dumps({"class_name": "cat"}).encode()
SCORE = save({"caa": np.full((4, 4), 0.5, np.float16)})


def write_pair(folder: Path, image: bytes = IMAGE, about: bytes = ABOUT, score: bytes = SCORE) -> None:
    keys = ["cat-000000", "cat-000001"]
    write_shard(folder / "images.tar", [Sample(key, {"png": image, "json": about}) for key in keys])
    write_shard(folder / "scores.tar", [Sample(key, {"safetensors": score}) for key in keys])


def refine(box: Sandbox) -> tuple[int, str]:
    shards = ("--images", "images.tar", "--scores", "scores.tar")
    code, said = box.seediff("stage", "refine", "--spec", SPEC, *shards, "--output", "out/masks.tar")
    assert (code == 0) == (box.folder / "out" / "masks.tar").exists()
    assert not list(box.folder.rglob("*.partial"))
    return code, said


def assemble(box: Sandbox) -> tuple[int, str]:
    spec = json.dumps({"recipe": "x", "kind": "synthetic", "per_class": 1})
    shards = ("--images", "images.tar", "--masks", "masks.tar")
    return box.seediff("stage", "assemble", "--spec", spec, *shards, "--output", "out/set.json")


def sound_manifest() -> Any:
    with sandbox() as box:
        write_pair(box.folder)
        return json.loads((box.folder / "images.json").read_text())


MANIFEST = sound_manifest()


def test_sound_shards() -> None:
    with sandbox() as box:
        write_pair(box.folder)
        assert refine(box) == (0, "")
        for suffix in (".tar", ".json"):
            (box.folder / f"out/masks{suffix}").rename(f"masks{suffix}")
        assert assemble(box) == (0, "")


@cases(200)
@given(tampered(MANIFEST))
def test_a_manifest_that_was_tampered_with(content: Any) -> None:
    with sandbox() as box:
        write_pair(box.folder)
        (box.folder / "images.json").write_text(json.dumps(content))
        refine(box)
        for suffix in (".tar", ".json"):
            (box.folder / f"scores{suffix}").rename(f"masks{suffix}")
        assert assemble(box)[0] == 1


@cases(100)
@given(damaged(json.dumps(MANIFEST).encode()) | st.sampled_from([b"[" * 200_000, b'{"a":' * 5000, b"9" * 5000]))
def test_a_damaged_manifest(content: bytes) -> None:
    with sandbox() as box:
        write_pair(box.folder)
        (box.folder / "images.json").write_bytes(content)
        refine(box)


@cases(100)
@given(st.data())
def test_a_damaged_tar(data: st.DataObject) -> None:
    with sandbox() as box:
        write_pair(box.folder)
        path = box.folder / "images.tar"
        before = path.read_bytes()
        path.write_bytes(after := data.draw(damaged(before)))
        assert refine(box)[0] == (0 if after == before else 1)


@cases(200)
@given(
    image=st.just(IMAGE) | damaged(IMAGE),
    about=st.just(ABOUT) | damaged(ABOUT) | tampered({"class_name": "cat"}).map(lambda row: json.dumps(row).encode()),
    score=st.just(SCORE) | damaged(SCORE) | st.just(pickle.dumps({"caa": 1})),
)
def test_hostile_content_under_a_sound_manifest(image: bytes, about: bytes, score: bytes) -> None:
    with sandbox() as box:
        write_pair(box.folder, image, about, score)
        refine(box)


@pytest.mark.parametrize(
    ("scores", "reason"),
    [
        ({"caa": np.zeros(4, np.float16)}, "no map from 0 to 1"),
        ({"caa": np.zeros((0, 4), np.float16)}, "no map from 0 to 1"),
        ({"caa": np.full((4, 4), np.nan, np.float16)}, "no map from 0 to 1"),
        ({"caa": np.full((4, 4), 2, np.int64)}, "no map from 0 to 1"),
        ({"cab": np.zeros((4, 4), np.float16)}, "no score of 'caa'"),
    ],
)
def test_scores_that_are_none(scores: dict[str, Any], reason: str) -> None:
    with sandbox() as box:
        write_pair(box.folder, score=save(scores))
        code, said = refine(box)
        assert code == 1 and reason in said and "scores.tar" in said


def picture(mode: str, size: tuple[int, int] = (16, 16)) -> bytes:
    file = io.BytesIO()
    Image.new(mode, size).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_images_of_every_mode(mode: str) -> None:
    with sandbox() as box:
        write_pair(box.folder, image=picture(mode))
        code, said = refine(box)
        reason = {"I;16": "16 bits", "LA": "transparent", "RGBA": "transparent"}.get(mode)
        assert code == 0 if reason is None else code == 1 and reason in said


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (3, 2)])
def test_images_of_odd_sizes(size: tuple[int, int]) -> None:
    with sandbox() as box:
        write_pair(box.folder, image=picture("RGB", size))
        assert refine(box) == (0, "")


def test_a_decompression_bomb() -> None:
    """A small file that says it has 60,000 x 60,000 pixels."""
    header = bytearray(picture("L"))
    header[16:24] = (60_000).to_bytes(4, "big") * 2
    header[29:33] = zlib.crc32(bytes(header[12:29])).to_bytes(4, "big")
    with sandbox() as box:
        write_pair(box.folder, image=bytes(header))
        assert "not a readable PNG" in refine(box)[1]


Edit = Callable[[tarfile.TarInfo], None]


def renamed(name: str) -> Edit:
    return lambda member: setattr(member, "name", name)


def kind(letter: bytes, target: str = "") -> Edit:
    def edit(member: tarfile.TarInfo) -> None:
        member.type, member.linkname = letter, target

    return edit


@pytest.mark.parametrize(
    "edit",
    [
        renamed("../../escaped.png"),
        renamed("/tmp/seediff-escaped.png"),
        renamed("cat-000001.png"),
        renamed("a/b.png"),
        renamed("a\nb.png"),
        renamed("猫.png"),
        renamed("x" * 90 + ".png"),
        kind(tarfile.SYMTYPE, "/etc/passwd"),
        kind(tarfile.LNKTYPE, "../../secret"),
        kind(tarfile.CHRTYPE),
        kind(tarfile.FIFOTYPE),
        kind(tarfile.DIRTYPE),
    ],
)
def test_members_that_would_leave_the_archive(edit: Edit) -> None:
    """The manifest agrees with the tar, as an attacker who writes both can arrange."""
    with sandbox() as box:
        write_pair(box.folder)
        forge(box.folder / "images.tar", edit)
        code, said = refine(box)
        assert code == 1 and "images.tar" in said


def forge(path: Path, edit: Edit) -> None:
    """Rewrite a shard with its first picture's header edited, and its manifest to go with it."""
    manifest = json.loads(manifest_path(path).read_text())
    content = bytearray(path.read_bytes())
    member = next(member for member in manifest["members"] if member["name"].endswith("png"))
    start = member["offset"] - 512
    header = tarfile.TarInfo.frombuf(bytes(content[start : start + 512]), "utf-8", "strict")
    edit(header)
    content[start : start + 512] = header.tobuf(tarfile.USTAR_FORMAT, "utf-8")[:512]
    path.write_bytes(content)
    member["name"] = header.name
    manifest["sha256"] = hashlib.sha256(content).hexdigest()
    manifest_path(path).write_text(json.dumps(manifest))


@pytest.mark.parametrize("name", ["x.json", "x", "x.TAR", "folder/", ".tar"])
def test_a_shard_needs_a_name_of_its_own(name: str) -> None:
    with sandbox() as box:
        write_pair(box.folder)
        shards = ("--images", "images.tar", "--scores", "scores.tar")
        code, said = box.seediff("stage", "refine", "--spec", SPEC, *shards, "--output", f"out/{name}")
        assert code == 1 and "end in .tar" in said


@cases(60)
@given(st.dictionaries(st.sampled_from(["classes", "variants", "refinement"]), values))
def test_a_hostile_spec(changes: dict[str, Any]) -> None:
    with sandbox() as box:
        write_pair(box.folder)
        spec = json.dumps({**json.loads(SPEC), **changes})
        shards = ("--images", "images.tar", "--scores", "scores.tar")
        box.seediff("stage", "refine", "--spec", spec, *shards, "--output", "out/masks.tar")


@pytest.mark.parametrize("letter", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_a_member_that_is_no_file_is_not_read_by_its_key_either(letter: bytes) -> None:
    with sandbox() as box:
        write_pair(box.folder)
        forge(box.folder / "images.tar", kind(letter, "/etc/passwd"))
        with pytest.raises(SeediffError, match="has changed"):
            open_shard(box.folder / "images.tar").read("cat-000000", "png")
