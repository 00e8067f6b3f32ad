"""What the sections of a study are made of: types of values with their checks, and the base class of all sections."""

from __future__ import annotations

from typing import Annotated, Any, Self, TypeVar

from annotated_types import Ge, Le
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema, model_validator

from seediff.masks.variants import Steps, resolve
from seediff.names import check_name, check_text, repeated

Count = Annotated[int, Ge(1), Le(1_000_000)]
"""A number of images; numbers of things that cost more have lower limits of their own."""
Repeats = Annotated[int, Ge(1), Le(1000)]
Name = Annotated[
    str,
    AfterValidator(lambda name: check_name("Name", name)),
    WithJsonSchema({"title": "name", "type": "string"}),
]
Text = Annotated[str, Field(min_length=1, max_length=1000), AfterValidator(check_text)]
"""One line: a prompt, a word, a path."""

UNLESS_EMPTY: Any = Field(exclude_if=lambda value: not value)
"""Left out of dumps when empty, so that a study without the key dumps as it did before the key existed."""

Seed = Annotated[int, Ge(0)]
Repeat = Annotated[int, Ge(0), Le(999)]
Fingerprint = Annotated[str | None, Field(pattern=r"^[0-9a-f]{64}$", exclude_if=lambda value: value is None)]
"""Of a real data set's files (``datasets.items.fingerprint``); a stand-in has none: its files are inputs of the job."""


def _possible(steps: Steps) -> Steps:
    resolve(steps)
    return steps


VariantSteps = Annotated[dict[Name, Annotated[Steps, AfterValidator(_possible)]], Field(min_length=1)]
"""The mask steps of every variant, with all of their parameters."""

Values = TypeVar("Values", bound=tuple[Any, ...])


def each_once(values: Values) -> Values:
    """The values; ``ValueError`` if one of them is repeated, as it would count twice."""
    if twice := repeated(values):
        raise ValueError(f"holds {twice[0]!r} twice")
    return values


AnyNames = Annotated[tuple[Name, ...], AfterValidator(each_once)]
Names = Annotated[tuple[Name, ...], Field(min_length=1), AfterValidator(each_once)]


class Section(BaseModel):
    """A part of a study: immutable, no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)

    @model_validator(mode="after")
    def _has_values(self) -> Self:
        """Refuse a key with nothing after it: dumps leave such keys out, so None can only come from a study's file."""
        for name in sorted(self.model_fields_set):
            if type(self).model_fields[name].exclude_if and getattr(self, name) is None:
                raise ValueError(f"there is nothing after {name!r}; write a value ({{}}: defaults), or leave it out")
        return self
