"""Whether the optional packages can be imported."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

from seediff.errors import SeediffError

DEFORMABLE_ATTENTION = "MultiScaleDeformableAttention"
"""The compiled operator of Mask2Former's pixel decoder."""


def available() -> tuple[bool, str]:
    """Whether detectron2 can be imported, and the reason if it cannot."""
    return _imported("detectron2.engine")


def mask2former_available() -> tuple[bool, str]:
    """Whether the authors' Mask2Former can be imported, and the reason if it cannot.

    If its compiled operator is missing, an empty module takes the operator's name: the authors' code then computes the
    same with torch alone, more slowly.
    """
    try:
        importlib.import_module(DEFORMABLE_ATTENTION)
    except ImportError:
        sys.modules[DEFORMABLE_ATTENTION] = ModuleType(DEFORMABLE_ATTENTION)
    return _imported("mask2former")


def _imported(name: str) -> tuple[bool, str]:
    try:
        importlib.import_module(name)
    except Exception as error:  # a package that was built for another torch can fail with any error
        return False, f"{type(error).__name__}: {(str(error) or name).splitlines()[0]}"
    return True, ""


def require_detectron2() -> None:
    """Raise ``SeediffError`` with the reason unless detectron2 can be imported."""
    _require("detectron2", "engine 'detectron2'", available())


def require_mask2former() -> None:
    """Raise ``SeediffError`` with the reason unless detectron2 and the authors' Mask2Former can be imported."""
    require_detectron2()
    _require("Mask2Former", "architecture 'mask2former-official'", mask2former_available())


def _require(package: str, wanted_by: str, answer: tuple[bool, str]) -> None:
    there, reason = answer
    if not there:
        raise SeediffError(
            f"The {wanted_by} needs {package}, which cannot be imported:\n{reason}\n"
            "docs/detectron2.md says how to install it; engine 'seediff' needs nothing more."
        )
