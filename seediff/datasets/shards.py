"""Shards: many samples in one tar file, in WebDataset's layout (``<key>.<extension>``, a sample's files together).

Why tar and not parquet: a tar can be written as a stream, stores images and tensors unchanged, and can be read with any
tool. Its members are not compressed, so random access by offset is as cheap as reading in order. The offsets are in the
manifest, ``x.json`` beside ``x.tar``, with a checksum of every member. The manifest is sealed (``seals.py``), and its
checksum of the tar seals the shard.

The manifest is written last and deleted first: readers refuse whatever a killed writer leaves.
Members are read into memory and never extracted, and their names must be plain names.
(Other readers of WebDataset take a name's first dot for the end of the key; here it is the last.)
"""

from __future__ import annotations

import hashlib
import json
import re
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast, get_args

from seediff.datasets.flaws import Flaw
from seediff.diffusion.model_files import differences
from seediff.errors import SeediffError
from seediff.files.sealed import partial, read_json, sealed_json
from seediff.files.seals import name_of
from seediff.names import check_name

FORMAT_VERSION = 1
FLAW = "flaw"
"""The key that is added to the prompt row of an image with a flaw (``flaws``)."""
_BLOCK = 512
"""Size in bytes of a tar header, and what everything in a tar is padded to."""
_EXTENSION = re.compile(r"[A-Za-z0-9_]{1,16}")

T = TypeVar("T")


@dataclass(frozen=True)
class Sample:
    """``files``: extension -> content, such as ``{'png': ..., 'json': ...}``."""

    key: str
    files: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Member:
    """One file in a shard: ``offset`` and ``size`` of its content in bytes."""

    name: str
    offset: int
    size: int
    sha256: str

    @property
    def key(self) -> str:
        return self.name.rpartition(".")[0]

    @property
    def extension(self) -> str:
        return self.name.rpartition(".")[2]


@dataclass(frozen=True)
class Manifest:
    """The content of a shard; ``size`` and ``sha256`` are those of the tar file.

    ``model``: the checksums of the model that drew it (``model_files.identity``); empty if no model did, or if they
    were not recorded.
    """

    size: int
    sha256: str
    members: tuple[Member, ...]
    model: Mapping[str, str] = field(default_factory=dict)


def manifest_path(path: Path) -> Path:
    """The path of a shard's manifest; ``SeediffError`` if the path cannot be a shard's."""
    if path.suffix != ".tar":
        raise SeediffError(f"{path} is not the name of a shard: it has to end in .tar.")
    return path.with_suffix(".json")


def write_shard(path: Path, samples: Iterable[Sample], model: Mapping[str, str] | None = None) -> None:
    """Write the samples in their order; the same samples give the same bytes.

    ``model``: the checksums of the model that drew them, for the manifest. One sample is held at a time. Raises
    ``SeediffError`` for a key that is not a plain name or comes twice, and when the disk is full; nothing unfinished is
    left behind.
    """
    manifest_file = manifest_path(path)
    with partial(manifest_file) as unfinished_manifest, partial(path) as unfinished:
        with unfinished.open("wb") as file:
            manifest = replace(_write_tar(_HashedWriter(file), samples), model=model or {})
        unfinished_manifest.write_text(sealed_json(name_of(manifest_file), _content(manifest)), encoding="utf-8")
        # From here until the new manifest is in place there is none, so no old one can vouch for the new tar.
        manifest_file.unlink(missing_ok=True)


class _HashedWriter:
    """Counts the bytes written to a file, and computes their checksum."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self.digest, self.position = file, hashlib.sha256(), 0

    def write(self, content: bytes) -> None:
        self._file.write(content)
        self.digest.update(content)
        self.position += len(content)


def _write_tar(writer: _HashedWriter, samples: Iterable[Sample]) -> Manifest:
    members: list[Member] = []
    keys: set[str] = set()
    for sample in samples:
        _check_sample(sample, keys)
        keys.add(sample.key)
        members += [_append(writer, f"{sample.key}.{name}", sample.files[name]) for name in sorted(sample.files)]
    writer.write(bytes(2 * _BLOCK))
    return Manifest(writer.position, writer.digest.hexdigest(), tuple(members))


def _check_sample(sample: Sample, keys: set[str]) -> None:
    if sample.key in keys:
        raise SeediffError(f"Two samples of a shard have the key {sample.key!r}.")
    if not sample.files:
        raise SeediffError(f"The sample {sample.key!r} has no files.")
    for extension in sample.files:
        _check_name(sample.key, extension)


def _check_name(key: str, extension: str) -> None:
    check_name("Key", key)
    if not _EXTENSION.fullmatch(extension):
        raise SeediffError(f"{extension!r} is not a file name extension: letters, digits and '_' (16 at most).")


def _append(writer: _HashedWriter, name: str, content: bytes) -> Member:
    writer.write(_header(name, len(content)))
    member = Member(name, writer.position, len(content), hashlib.sha256(content).hexdigest())
    writer.write(content)
    writer.write(bytes(_padding(len(content))))
    return member


def _header(name: str, size: int) -> bytes:
    """A member's tar header; time, owner and group are zero, so that equal content gives equal bytes."""
    header = tarfile.TarInfo(name)
    header.size = size
    return header.tobuf(tarfile.USTAR_FORMAT)


def _padding(size: int) -> int:
    return -size % _BLOCK


def _content(manifest: Manifest) -> dict[str, Any]:
    content = {"format_version": FORMAT_VERSION, "samples": _samples(manifest.members), **asdict(manifest)}
    if not manifest.model:
        del content["model"]
    return content


def _samples(members: Iterable[Member]) -> int:
    """The number of samples: runs of members with the same key."""
    return sum(1 for _ in groupby(members, key=lambda member: member.key))


def _broken(path: Path, reason: str) -> SeediffError:
    return SeediffError(f"The shard {path} cannot be used: {reason}.\nDelete it and run again to make it anew.")


def read_manifest(path: Path) -> Manifest:
    """The manifest of the shard ``path``, checked against the tar's size.

    Raises ``SeediffError`` naming the shard if either file is missing, unfinished or does not make sense.
    """
    if not path.is_file():
        raise SeediffError(f"There is no shard {path}.\nRun again to make it.")
    if not manifest_path(path).is_file():
        raise _broken(path, f"it has no manifest ({manifest_path(path).name}), so it was never finished")
    manifest = _parse_manifest(read_json(manifest_path(path), "The shard manifest"), path)
    if (size := path.stat().st_size) != manifest.size:
        raise _broken(path, f"it has {size} bytes, its manifest says {manifest.size}")
    return manifest


def _parse_manifest(content: Any, path: Path) -> Manifest:
    try:
        if content["format_version"] != FORMAT_VERSION:
            raise _broken(path, f"format version {content['format_version']!r} is not {FORMAT_VERSION}")
        members = tuple(Member(**member) for member in content["members"])
        manifest = Manifest(content["size"], content["sha256"], members, dict(content.get("model", {})))
        consistent = _is_consistent(manifest) and _samples(members) == content["samples"]
    except (KeyError, TypeError, ValueError, AttributeError):
        raise _broken(path, f"its manifest {manifest_path(path).name} is not a shard manifest") from None
    if not consistent:
        raise _broken(path, "its manifest contradicts itself")
    try:
        for member in members:
            _check_name(member.key, member.extension)
    except SeediffError:
        raise _broken(path, f"{member.name!r} is not a plain name") from None
    return manifest


def _is_consistent(manifest: Manifest) -> bool:
    """Whether the members fill the tar one after another, no name comes twice, and samples are whole."""
    position = 0
    for member in manifest.members:
        if type(member.offset) is not int or type(member.size) is not int:
            return False
        if member.offset != position + _BLOCK or member.size < 0:
            return False
        position = member.offset + member.size + _padding(member.size)
    names, keys = ({pick(member) for member in manifest.members} for pick in (attrgetter("name"), attrgetter("key")))
    whole = len(names) == len(manifest.members) and len(keys) == _samples(manifest.members)
    return whole and manifest.size == position + 2 * _BLOCK


def read_shard(path: Path) -> Iterator[Sample]:
    """Every sample in order, each checked against the manifest before it is handed out.

    Raises ``SeediffError`` naming the shard for a missing manifest, a truncated file or changed bytes (also those
    between the members, once the end is reached).
    """
    manifest = read_manifest(path)
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for key, members in groupby(manifest.members, key=lambda member: member.key):
            files = {}
            for member in members:
                files[member.extension] = _read_member(file, member, path)
                digest.update(_header(member.name, member.size))
                digest.update(files[member.extension])
                digest.update(file.read(_padding(member.size)))
            yield Sample(key, files)
        digest.update(file.read())
    if digest.hexdigest() != manifest.sha256:
        raise _broken(path, "its bytes have changed since it was written")


def _read_member(file: BinaryIO, member: Member, path: Path) -> bytes:
    """The member whose header comes next; header, size and checksum have to be those of the manifest."""
    header, content = file.read(_BLOCK), file.read(member.size)
    if header != _header(member.name, member.size) or hashlib.sha256(content).hexdigest() != member.sha256:
        raise _broken(path, f"{member.name} has changed since it was written")
    return content


@dataclass(frozen=True)
class ShardIndex:
    """Random access to a shard of checksum ``sha256``. It has no open file, so it can be passed to other processes.

    ``model``: as in the manifest.
    """

    path: Path
    sha256: str
    members: Mapping[str, Member]
    model: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def keys(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(member.key for member in self.members.values()))

    def read(self, key: str, extension: str) -> bytes:
        """The content of ``<key>.<extension>``, checked; ``SeediffError`` if the shard does not hold it."""
        member = self.members.get(f"{key}.{extension}")
        if member is None:
            raise SeediffError(f"The shard {self.path} holds no {key}.{extension}.")
        with self.path.open("rb") as file:
            file.seek(member.offset - _BLOCK)
            return _read_member(file, member, self.path)


def open_shard(path: Path) -> ShardIndex:
    """Open a shard for reading by key; raises ``SeediffError`` like ``read_manifest``."""
    manifest = read_manifest(path)
    return ShardIndex(path, manifest.sha256, {member.name: member for member in manifest.members}, manifest.model)


def shards_by_key(paths: Iterable[Path]) -> dict[str, ShardIndex]:
    """Key -> the shard it is in; ``SeediffError`` if a key is in two of them."""
    homes: dict[str, ShardIndex] = {}
    for shard in map(open_shard, paths):
        for key in shard.keys:
            if key in homes:
                raise SeediffError(f"{key} is in both {homes[key].path} and {shard.path}.")
            homes[key] = shard
    return homes


def check_same_keys(first: Mapping[str, ShardIndex], second: Mapping[str, ShardIndex], what: str, other: str) -> None:
    """Raise ``SeediffError`` unless both hold the same keys; ``what`` and ``other`` name what they hold."""
    for key in sorted(first.keys() ^ second.keys()):
        lacking, present = (other, first) if key in first else (what, second)
        raise SeediffError(f"{key} in {present[key].path} has no {lacking}.\nDelete what is outdated and run again.")


def check_same_model(models: Iterable[tuple[Path, Mapping[str, str]]]) -> None:
    """Raise ``SeediffError`` unless the shards, each with its manifest's ``model``, were drawn by the same model.

    Shards without these checksums, written by earlier versions, match any.
    """
    known: tuple[Path, Mapping[str, str]] | None = None
    for path, model in models:
        if model and known and (kinds := differences(model, known[1])):
            raise SeediffError(
                f"{known[0]} and {path} were drawn by different models: other {' and '.join(kinds)}.\n"
                "Delete those of the wrong one and run again."
            )
        known = known or ((path, model) if model else None)


# --- the prompt row beside a drawn image


def draws_of(of_class: Sequence[T], size: int | None) -> list[Sequence[T]]:
    """Whatever belongs to the images of a class, by draw: ``size`` images each, or all (None), in the order of keys."""
    length = size or len(of_class)
    return [of_class[start : start + length] for start in range(0, len(of_class), length)] if of_class else []


def class_of(shard: ShardIndex, key: str) -> str:
    """The class that was drawn; ``SeediffError`` naming the row if it does not say."""
    return _said(shard, key, "class_name", "which class was drawn")


def prompt_of(shard: ShardIndex, key: str) -> str:
    """The prompt the image was drawn from; ``SeediffError`` naming the row if it does not say."""
    return _said(shard, key, "prompt", "what it was drawn from")


def flaw_in(shard: ShardIndex, key: str) -> Flaw | None:
    """The flaw that the image had when it was drawn, if any; ``SeediffError`` naming the row for an unknown one."""
    try:
        flaw: Any = json.loads(shard.read(key, "json")).get(FLAW)
    except (ValueError, AttributeError, RecursionError):
        flaw = ""
    if flaw is not None and flaw not in get_args(Flaw):
        raise SeediffError(f"{key}.json in {shard.path} does not say what flaw the image has.")
    return cast(Flaw | None, flaw)


def _said(shard: ShardIndex, key: str, column: str, what: str) -> str:
    try:
        return str(json.loads(shard.read(key, "json"))[column])
    except (ValueError, KeyError, TypeError, RecursionError):
        raise SeediffError(f"{key}.json in {shard.path} does not say {what} ({column}).") from None
