"""Sealed files of numpy arrays: a compressed npz that holds its own name and seal, read without pickle."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
from numpy.typing import NDArray

from seediff.errors import SeediffError
from seediff.files.sealed import partial
from seediff.files.seals import Bytes, check_seal, name_of, seal

MOST_BYTES = 2**30
"""Of all arrays together; a file that would unpack to more is refused."""


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays of numbers by name; the same arrays give the same bytes."""
    name = name_of(path)
    about = {"name": np.array(name), "seal": np.array(seal(name, _pieces(arrays)))}
    with partial(path) as unfinished, unfinished.open("wb") as file:
        np.savez_compressed(file, **about, **arrays)  # type: ignore[arg-type]


def read_arrays(path: Path, what: str) -> dict[str, NDArray[Any]]:
    """The arrays of a sealed file by name; ``what`` names it in the error if it is not as it was written."""
    if path.exists() and not path.is_file():  # a pipe would be waited for without end
        raise SeediffError(f"{what} {path} is not a regular file.\nDelete it and run the workflow again.")
    try:
        with ZipFile(path) as packed:
            if sum(part.file_size for part in packed.infolist()) > MOST_BYTES:
                raise ValueError(f"it holds more than {MOST_BYTES:,} bytes")
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except FileNotFoundError:
        raise SeediffError(f"{what} {path} is missing. Run the workflow again to make it.") from None
    except Exception as error:  # whatever zipfile, zlib and numpy come across
        reason = (str(error) or repr(error)).splitlines()[0]
        raise SeediffError(f"{what} {path} is broken ({reason}).\nDelete it and run the workflow again.") from None
    name, stored = (str(arrays.pop(part, "")) for part in ("name", "seal"))
    check_seal(path, what, name, stored, _pieces(arrays))
    return arrays


def _pieces(arrays: Mapping[str, NDArray[Any]]) -> Iterator[Bytes]:
    """Array after array, its name, type, shape and content."""
    for name, array in arrays.items():
        yield f"{name} {array.dtype.str} {array.shape}".encode()
        yield np.ascontiguousarray(array).tobytes()
