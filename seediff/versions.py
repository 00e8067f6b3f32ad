"""What the library's long work gives, as numbers: for stages, for states to resume from, for folders of pairs."""

from __future__ import annotations

VERSIONS: dict[str, int] = {
    "prompts": 2,
    "adapter": 1,
    "synthesize": 3,
    "refine": 1,
    "train": 3,
}
"""Raising a number says that what is made means something else now: it is made anew, and no old state is resumed."""
