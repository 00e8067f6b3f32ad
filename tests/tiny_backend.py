"""A build backend that needs no download, and builds wheels of a few lines."""

from __future__ import annotations

import os
from pathlib import Path
from zipfile import ZipFile


def build_editable(folder: str, settings: object = None, metadata: object = None) -> str:
    """The hook that pip calls, in the project's folder: the name of the wheel that points there."""
    return write_wheel(Path(folder), "seediff", "0.1.0", {"seediff.pth": os.getcwd()})


def write_wheel(folder: Path, name: str, version: str, files: dict[str, str]) -> str:
    about = f"{name}-{version}.dist-info"
    files = {
        **files,
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{file},,\n" for file in (*files, f"{about}/RECORD"))
    wheel = f"{name}-{version}-py3-none-any.whl"
    with ZipFile(folder / wheel, "w") as archive:
        for file, content in {**files, f"{about}/RECORD": record}.items():
            archive.writestr(file, content)
    return wheel
