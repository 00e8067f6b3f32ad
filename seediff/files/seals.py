"""Seals: the name and checksum in every file of a run, by which a changed or exchanged file is recognised.

Every file that one stage writes for another holds its name, such as ``metrics/caa/swin/0/voc.json``, and a sha256 of
the name and the content. Its reader notices changed bytes, and also an intact file in the place of another. The
name does not include the study, so that a results folder can be moved as a whole.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from seediff.errors import SeediffError

Bytes = bytes | memoryview

_LAYOUT = {
    "metrics": 5,
    "models": 5,
    "checkpoints": 5,
    "images": 4,
    "scores": 4,
    "replays": 4,
    "masks": 4,
    "filters": 4,
    "prompts": 2,
    "training_sets": 2,
    "judged": 2,
    "adapters": 3,
}
"""Folders of a study's results, and how many parts their files' names have (docs/architecture.md)."""


def name_of(path: Path) -> str:
    """A file's path below a study's results; of any other file, the last part alone."""
    parts = path.absolute().parts
    length = next((length for kind, length in _LAYOUT.items() if parts[-length:][0] == kind), 1)
    return "/".join(parts[-length:])


def seal(name: str, contents: Iterable[Bytes]) -> str:
    """The checksum of a name and its contents; the boundaries between the pieces count."""
    digest = hashlib.sha256()
    for piece in (name.encode(), *contents):
        digest.update(len(piece).to_bytes(8, "big"))
        digest.update(piece)
    return digest.hexdigest()


def check_seal(path: Path, what: str, name: object, found: object, contents: Iterable[Bytes]) -> None:
    """Raise ``SeediffError`` unless ``found`` is the seal of ``name`` and ``contents``, and the name is ``path``'s."""
    if not isinstance(name, str) or found != seal(name, contents):
        raise SeediffError(f"{what} {path} is not as it was written.\nDelete it and run again to make it anew.")
    if name_of(path) != name:
        raise SeediffError(f"{what} {path} is another's: it was written as {name}.\nDelete it and run again.")
