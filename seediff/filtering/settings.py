"""The settings of filters of image-mask pairs, which ``measures`` and ``selection`` apply. No torch here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Le

from seediff.errors import SeediffError
from seediff.names import check_text, nearest, repeated
from seediff.settings import Share, Threshold, check_bounds

Cosine = Annotated[float, Ge(-1), Le(1)]

MEASURES = ("agreement", "area", "connectedness", "contrast", "clip")
"""The measures of a pair, in the order of the table's columns."""


@dataclass(frozen=True)
class Filter:
    """Which image-mask pairs are good enough: limits, and a share of each class's images within them.

    docs/methods/quality-filter.md defines the measures.
    """

    keep: Threshold = 1.0
    """The largest share of each class's images that is kept; the best come first."""
    rank_by: tuple[str, ...] = ("agreement",)
    """The measures that say which are best, by the mean of their ranks in the class."""
    agreement_with: tuple[str, ...] = ()
    """The variants whose masks are compared with the recipe's, from the same image set or a later pass over it. The
    recipe's own variant is not compared with itself."""
    agreement: Share = 0.0
    """The least agreement with them."""
    area: tuple[Share, Share] = (0.0, 1.0)
    """The least and the largest share of the image that the object may take."""
    connectedness: Share = 0.0
    """The least share of the mask in its largest component."""
    contrast: Cosine = -1.0
    """The least contrast of the score."""
    clip_model: str | None = None
    """Hub id (``id@revision`` too) or folder of a CLIP model; images are compared with their prompts if it is given."""
    clip: Cosine = -1.0
    """The least cosine of image and prompt."""

    def __post_init__(self) -> None:
        check_bounds("Filter", self)
        if not (len(self.area) == 2 and self.area[0] <= self.area[1]):
            raise SeediffError(f"Filter: area is {list(self.area)}, but must be [least, most], both from 0 to 1.")
        self._check_sources()

    def _check_sources(self) -> None:
        """Refuse limits and ranks by measures that are not taken."""
        if self.agreement > 0 and not self.agreement_with:
            raise SeediffError("Filter: agreement has a limit without masks.\nName variants in agreement_with.")
        if self.clip_model is None and self.clip > -1:
            raise SeediffError("Filter: clip has a limit, but there is no clip_model.")
        if self.clip_model is not None:
            _check_model(self.clip_model)
        for key in ("rank_by", "agreement_with"):
            names = getattr(self, key)
            if twice := repeated(names):
                raise SeediffError(f"Filter: {key} holds {twice[0]!r} twice.\nName each once: they all count equally.")
        for name in self.rank_by:
            if name not in MEASURES:
                raise SeediffError(f"Filter: there is no measure {name!r} to rank by.\n{nearest(name, MEASURES)}")
        if self.keep < 1 and not (self.rank_by and {*self.rank_by} <= {*self.measured}):
            raise SeediffError(
                f"Filter: keep is {self.keep}, by measures that are not taken ({', '.join(self.rank_by) or 'none'}).\n"
                f"Set rank_by to some of {', '.join(self.measured)}, or agreement_with or clip_model."
            )

    @property
    def measured(self) -> tuple[str, ...]:
        """The measures that are taken of every pair."""
        absent = {"agreement"} if not self.agreement_with else set()
        absent |= {"clip"} if self.clip_model is None else set()
        return tuple(name for name in MEASURES if name not in absent)


def _check_model(model: str) -> None:
    try:
        check_text(model)
    except ValueError:
        model = ""
    if not model or set("{}") & {*model}:
        raise SeediffError("Filter: clip_model must be the id or the folder of a CLIP model, in one line.")
