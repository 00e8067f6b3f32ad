"""From recorded attention to a segmentation mask: mask steps, variants (lists of them), refinement, labels."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seediff.masks.make import make_labels as make_labels
    from seediff.masks.make import make_mask as make_mask
    from seediff.masks.make import make_score as make_score
    from seediff.masks.refinement import PamrSettings as PamrSettings
    from seediff.masks.refinement import Refinement as Refinement
    from seediff.masks.variants import VARIANTS as VARIANTS

_HOMES = {
    "VARIANTS": "seediff.masks.variants",
    "PamrSettings": "seediff.masks.refinement",
    "Refinement": "seediff.masks.refinement",
    "make_labels": "seediff.masks.make",
    "make_mask": "seediff.masks.make",
    "make_score": "seediff.masks.make",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    """Import public names when they are first used, so that variants can be checked without torch."""
    if name not in _HOMES:
        raise AttributeError(f"module 'seediff.masks' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
