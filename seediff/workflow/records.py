"""What made a job's files: its record, a small hidden file beside the first of them.

It holds the job's digest, which stands for everything that the files are made from: the stage, its version and spec,
the digests of the jobs whose files it reads, and the content of files that no job makes. The process that plans a run
compares the digest that each job would have now with its record. A job that has no record, or whose record has another
digest, is not done, whatever the times of its files or Snakemake's own records say.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from os.path import relpath
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from seediff.diffusion.model_files import named_weights
from seediff.files.sealed import partial
from seediff.workflow.graph import Job
from seediff.workflow.sources import Sources

PACKAGES = ("torch", "diffusers", "transformers", "numpy", "snakemake")
"""Packages whose versions are written into results."""


def digests(jobs: Sequence[Job], sources: Sources) -> dict[str, str]:
    """The digest of each job, by its title; each of ``jobs`` comes after those whose files it reads."""
    found: dict[str, str] = {}
    makers: dict[str, str] = {}
    checksum = cache(sources.checksum)
    for job in jobs:
        read = {makers.get(path) or checksum(path) for path in job.inputs}
        told = json.dumps([job.stage, job.version, job.spec, sorted(read)])
        digest = hashlib.sha256(told.encode()).hexdigest()
        found[job.title] = digest
        makers.update(dict.fromkeys(job.outputs, digest))
    return found


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Record(BaseModel):
    """A job's digest, and the size and sha256 of each of its files, by their path from the record's folder."""

    digest: str
    files: dict[str, tuple[int, str]]


def record_file(output: Path) -> Path:
    """The record of the job whose first output this is."""
    return output.with_name(f".{output.name}.record")


@contextmanager
def recorded(digest: str, outputs: Sequence[Path]) -> Iterator[None]:
    """Record the files that are made in the context; there is no record until all of them are complete."""
    path = record_file(outputs[0])
    path.unlink(missing_ok=True)
    yield
    files = {relpath(output, path.parent): (output.stat().st_size, sha256(output)) for output in outputs}
    with partial(path) as unfinished:
        unfinished.write_text(f"{Record(digest=digest, files=files).model_dump_json()}\n")


def is_made(job: Job, digest: str, find: Callable[[str], Path] = Path) -> bool:
    """Whether the job's existing files were made as they would be made now; ``find`` locates a path.

    A file is read only if it has been written to since it was recorded.
    """
    path = record_file(find(job.outputs[0]))
    try:
        record, written = Record.model_validate_json(path.read_bytes()), path.stat().st_mtime_ns
    except (OSError, ValidationError):
        return False
    return record.digest == digest and all(
        _is_as_recorded(find(output), record.files.get(relpath(find(output), path.parent)), written)
        for output in job.outputs
    )


def _is_as_recorded(output: Path, recorded: tuple[int, str] | None, written: int) -> bool:
    try:
        now = output.stat()
    except OSError:
        return True  # the workflow decides whether a missing file is needed
    if recorded is None or now.st_size != recorded[0]:
        return False
    return now.st_mtime_ns <= written or sha256(output) == recorded[1]


def made(jobs: Iterable[Job], digests: Mapping[str, str], find: Callable[[str], Path] = Path) -> set[str]:
    """The existing files that were made as they would be made now."""
    like = (job for job in jobs if is_made(job, digests[job.title], find))
    return {output for job in like for output in job.outputs if find(output).exists()}


def provenance(model: str | None = None) -> dict[str, Any]:
    """Versions and machine; with ``model``, a pipeline's folder or hub id, the checksum of its weights as well."""
    about: dict[str, Any] = {
        "seediff": _version("seediff"),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}",
    }
    if model is not None:
        about["model"] = named_weights(model)
    return about


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
