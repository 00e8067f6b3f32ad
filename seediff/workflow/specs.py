"""What each stage is told: the shape of its ``--spec``, checked where it enters.

``plan`` makes these; whoever calls a stage by hand writes them as JSON. The stages get the plain content, with every
default written out.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Field, RootModel, ValidationError, model_validator

from seediff.adaptation.settings import AdapterSettings
from seediff.datasets.augmentation import Augmentation
from seediff.errors import SeediffError
from seediff.filtering.settings import Filter
from seediff.masks.refinement import Refinement
from seediff.masks.variants import resolve
from seediff.names import nearest
from seediff.segmenter.robust.settings import RobustTraining
from seediff.workflow.plan import FIGURES
from seediff.workflow.study.load import explain
from seediff.workflow.study.outputs import OpenPrompt, Timesteps
from seediff.workflow.study.references import check_references
from seediff.workflow.study.sections import Diffusion, Embedded, Format, PromptAugmentation, PromptSet, Segmenter, Study
from seediff.workflow.study.values import AnyNames, Count, Name, Names, Repeats, Section, Share, Text

Seed = Annotated[int, Field(ge=0)]
Repeat = Annotated[int, Field(ge=0, lt=1000)]
Fingerprint = Annotated[str | None, Field(pattern=r"^[0-9a-f]{64}$", exclude_if=lambda value: value is None)]
"""Of a real data set's files (``datasets.fingerprint``); a stand-in has none, for it is one of the stage's files."""


def _possible(steps: list[tuple[str, dict[str, Any]]]) -> list[tuple[str, dict[str, Any]]]:
    resolve(steps)
    return steps


Steps = Annotated[list[tuple[str, dict[str, Any]]], AfterValidator(_possible)]
Variants = Annotated[dict[Name, Steps], Field(min_length=1)]


def _figure(name: str) -> str:
    if name not in FIGURES:
        raise SeediffError(f"There is no figure {name!r}.\n{nearest(name, FIGURES)}")
    return name


Words = list[Text]


class ResolvedAugmentation(PromptAugmentation):
    """``shipped``: class name -> synonyms and hyponyms, of the source that comes with the program."""

    shipped: dict[Name, tuple[Words, Words]] = Field(default_factory=dict)


class PromptsSpec(PromptSet):
    prompt_set: Name
    classes: Names
    rng_seed: Seed = 0
    augmentation: ResolvedAugmentation | None = Field(default=None, exclude_if=lambda value: value is None)


class DomainSpec(Embedded):
    format: Format
    rng_seed: Seed


class TargetImages(Section):
    """Those of a split of a data set of that format, or of a plain folder."""

    folder: Text
    format: Format | None
    split: Name | None
    data: Fingerprint = None

    @model_validator(mode="after")
    def _has_both_or_none(self) -> TargetImages:
        if (self.format is None) != (self.split is None):
            raise ValueError("a data set has a 'format' and a 'split', a plain folder neither")
        return self


class AdapterSpec(Section):
    model: Text
    images: TargetImages
    settings: AdapterSettings
    rng_seed: Seed


class DenoisingSpec(Section):
    """Of ``synthesize`` and ``replay``."""

    diffusion: Diffusion
    adapter: Text | None = None
    variants: Variants


class RefineSpec(Section):
    classes: Names
    variants: dict[Name, Name]
    refinement: Refinement
    reliability: bool = False


class FilterSpec(Section):
    variants: Annotated[dict[Name, Name], Field(min_length=1)]
    filter: Filter


class SyntheticSpec(Section):
    recipe: Name
    kind: Literal["synthetic"]
    per_class: Count | None
    filter: Text | None = None


class RealSpec(Section):
    recipe: Name
    kind: Literal["real"]
    number: Count | None
    classes: Names
    format: Format
    folder: Text
    split: Name
    data: Fingerprint = None


class AssembleSpec(RootModel[Annotated[SyntheticSpec | RealSpec, Field(discriminator="kind")]]):
    pass


class TrainSpec(Section):
    classes: Names
    segmenter: Segmenter
    augmentation: Augmentation | None
    rng_seed: Seed
    repeat: Repeat
    robust: RobustTraining | None = None


class EvaluateSpec(Section):
    recipe: Name
    segmenter: Name
    repeat: Repeat
    benchmark: Name
    model: Text | None
    format: Format
    folder: Text
    split: Name
    data: Fingerprint = None
    classes: Names
    lacks: AnyNames = ()


class MaskQualitySpec(Section):
    benchmark: Name
    format: Format
    folder: Text
    split: Name
    data: Fingerprint = None
    images: Count
    timesteps: Timesteps
    classes: Names
    words: dict[Name, Text] = Field(default_factory=dict)
    lacks: AnyNames = ()
    rng_seed: Seed
    model: Text
    variants: Variants
    refinements: Annotated[dict[Name, Refinement], Field(min_length=1)]


class StripsSpec(DenoisingSpec):
    prompts: PromptsSpec
    refinement: Refinement


class FiguresSpec(Section):
    diffusion: Diffusion
    adapter: Text | None = None
    prompts: PromptsSpec
    open: list[OpenPrompt]
    rng_seed: Seed
    alpha: Share
    refinement: Refinement


class ColumnSpec(Section):
    heading: str
    kind: Literal["iou", "mean", "merged", "harmonic"]
    of: list[str] = Field(default_factory=list)


class RowSpec(Section):
    label: str
    recipe: Name | None
    segmenter: Name | None
    benchmark: Name | None
    paper: dict[str, float] = Field(default_factory=dict)


class TableSpec(Section):
    name: Name
    study: Name
    title: str
    caption: str
    embedded: bool = False
    reported_on: str = ""
    repeats: Repeats = 1
    columns: Annotated[list[ColumnSpec], Field(min_length=1)]
    rows: Annotated[list[RowSpec], Field(min_length=1)]


class MaskQualityTableSpec(Section):
    name: Literal["mask_quality"]
    study: Name
    title: str
    caption: str
    benchmark: Name


class TabulateSpec(RootModel[MaskQualityTableSpec | TableSpec]):
    pass


def _sound(study: Study) -> Study:
    check_references(study)
    return study


class ReportSpec(Section):
    study: Annotated[Study, AfterValidator(_sound)]
    tables: list[Name]
    strips: list[Name]
    figures: list[Annotated[str, AfterValidator(_figure)]]


SPECS: dict[str, type[BaseModel]] = {
    "prompts": PromptsSpec,
    "domain": DomainSpec,
    "adapter": AdapterSpec,
    "synthesize": DenoisingSpec,
    "refine": RefineSpec,
    "filter": FilterSpec,
    "assemble": AssembleSpec,
    "train": TrainSpec,
    "evaluate": EvaluateSpec,
    "mask_quality": MaskQualitySpec,
    "tabulate": TabulateSpec,
    "strips": StripsSpec,
    "figures": FiguresSpec,
    "report": ReportSpec,
}


def read_spec(stage: str, text: str) -> dict[str, Any]:
    """The content of a stage's spec, given as JSON; ``SeediffError`` if it is not what the stage needs."""
    try:
        spec = SPECS[stage].model_validate_json(text, strict=True)
    except ValidationError as error:
        raise SeediffError(f"--spec: {explain(error, SPECS[stage])}") from None
    return dict(spec.model_dump(mode="json"))
