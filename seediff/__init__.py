"""Training-free synthetic segmentation: masks from a diffusion model's own attention maps."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seediff.attention.apart import Apart as Apart
    from seediff.attention.maps import AttentionMaps as AttentionMaps
    from seediff.attention.recording import record_attention as record_attention
    from seediff.diffusion.loading import load as load
    from seediff.diffusion.looking import look_again as look_again
    from seediff.diffusion.photographs import segment as segment
    from seediff.errors import SeediffError as SeediffError
    from seediff.generation.pairs import make_data_set as make_data_set
    from seediff.generation.settings import data_set as data_set
    from seediff.masks import make_labels as make_labels
    from seediff.masks import make_mask as make_mask
    from seediff.masks import make_score as make_score

__version__ = "0.1.0"

_HOMES = {
    "Apart": "seediff.attention.apart",
    "AttentionMaps": "seediff.attention.maps",
    "SeediffError": "seediff.errors",
    "data_set": "seediff.generation.settings",
    "load": "seediff.diffusion.loading",
    "look_again": "seediff.diffusion.looking",
    "make_data_set": "seediff.generation.pairs",
    "make_labels": "seediff.masks",
    "make_mask": "seediff.masks",
    "make_score": "seediff.masks",
    "record_attention": "seediff.attention.recording",
    "segment": "seediff.diffusion.photographs",
}

__all__ = ["__version__", *_HOMES]


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    """Import the public names when they are first used, so that the command line starts without torch."""
    if name not in _HOMES:
        raise AttributeError(f"module 'seediff' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
