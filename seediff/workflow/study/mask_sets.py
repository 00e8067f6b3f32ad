"""Which masks a study makes: of every image of a set, by one variant and one refinement; and which of them it filters.

Pure functions of a ``Study``, for ``plan``, the stages and the costs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from seediff.workflow.study.sections import Study, SyntheticRecipe

WITH_RELIABILITY = "-reliability"


@dataclass(frozen=True)
class MaskSet:
    """The masks of all images of a set, by one variant and one refinement; ``name`` is that of their folder.

    ``reliability``: each mask has its reliability beside it; such masks have a folder of their own.
    """

    image_set: str
    variant: str
    refinement: str
    reliability: bool = False

    @property
    def name(self) -> str:
        return f"{self.variant}-{self.refinement}{WITH_RELIABILITY if self.reliability else ''}"

    @property
    def wildcards(self) -> dict[str, str]:
        """The wildcards of its files."""
        named = {"image_set": self.image_set, "variant": self.variant, "refinement": self.refinement}
        return {**named, "reliability": WITH_RELIABILITY if self.reliability else ""}


@dataclass(frozen=True)
class Filtered:
    """A mask set and a filter, which decide which pairs every recipe keeps; ``name`` is that of the table."""

    masks: MaskSet
    filter: str

    @property
    def name(self) -> str:
        return f"{self.masks.image_set}/{self.masks.name}/{self.filter}"


def mask_set(recipe: SyntheticRecipe) -> MaskSet:
    return MaskSet(recipe.image_set, recipe.variant, recipe.refinement, reliability=recipe.robust is not None)


def filtered(recipe: SyntheticRecipe) -> Filtered | None:
    """Whether masks have a reliability makes no difference to a filter."""
    return Filtered(replace(mask_set(recipe), reliability=False), recipe.filter) if recipe.filter else None


def compared(study: Study, pairs: Filtered) -> list[MaskSet]:
    """The mask sets that the filter compares with its own, in the filter's order."""
    variants = study.compared_variants(pairs.masks.variant, pairs.filter)
    return [replace(pairs.masks, variant=variant) for variant in variants]


def all_filtered(study: Study) -> list[Filtered]:
    """Every pair of mask set and filter that a recipe needs, once."""
    found = (filtered(recipe) for recipe in _synthetic(study))
    return list(dict.fromkeys(pairs for pairs in found if pairs))


def mask_sets(study: Study) -> list[MaskSet]:
    """Every mask set that a recipe learns from or that its filter compares with, once."""
    learnt = map(mask_set, _synthetic(study))
    looked_at = (masks for pairs in all_filtered(study) for masks in (pairs.masks, *compared(study, pairs)))
    return list(dict.fromkeys([*learnt, *looked_at]))


def _synthetic(study: Study) -> list[SyntheticRecipe]:
    return [recipe for recipe in study.recipes.values() if isinstance(recipe, SyntheticRecipe)]
