"""What the outputs of each stage mean, as a number: for the rules, for states to resume from, for folders of pairs."""

from __future__ import annotations

VERSIONS: dict[str, int] = {
    "prompts": 2,
    "domain": 2,
    "adapter": 1,
    "synthesize": 3,
    "refine": 1,
    "filter": 1,
    "assemble": 1,
    "train": 2,
    "evaluate": 1,
    "mask_quality": 2,
    "tabulate": 5,
    "strips": 1,
    "figures": 1,
    "report": 3,
}
"""What each stage means; raising a number says that its outputs now mean something else, and reruns it."""
