"""The interface of a stage: a module that defines the files and settings of its jobs, and runs one of them.

``spec``, ``inputs`` and ``run`` name what they need as parameters: wildcards of the stage's files, or its options.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict

from seediff.workflow.study import Study

Files = Mapping[str, str | list[str]]
"""Paths by their names in the stage's rule."""


class Spec(BaseModel):
    """All settings that a stage depends on, with defaults written out: a job whose spec has changed runs again."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)


Told = TypeVar("Told")


@dataclass(frozen=True)
class Work:
    """One job of a stage: its wildcards and its amount of work.

    Jobs of one stage and ``kind`` take about equally long for each unit of ``amount`` (images or iterations).
    """

    wildcards: Mapping[str, str] = field(default_factory=dict)
    kind: str = ""
    amount: int = 1


class Stage(Protocol):
    """``VERSION``: raised when the stage's outputs change their meaning; every job of the stage then runs again.

    ``JOB`` is the template of its jobs' names, ``STATE`` that of the training state a job resumes from, if it has one.
    ``TIMED``: whether the workflow measures how long jobs take. ``GPUS``: the most a job can use, one for each process.
    ``spec(study, ...)``: what a job is told. ``inputs(study, ...)``: the files of other jobs that it reads.
    ``outputs(study)``: templates of the files that it makes. ``work(study)``: every job. ``run(spec, ...)`` runs one.
    """

    @property
    def VERSION(self) -> int: ...
    @property
    def JOB(self) -> str: ...
    @property
    def STATE(self) -> str: ...
    @property
    def TIMED(self) -> bool: ...
    @property
    def GPUS(self) -> int: ...
    @property
    def spec(self) -> Callable[..., BaseModel]: ...
    @property
    def inputs(self) -> Callable[..., Files]: ...
    @property
    def run(self) -> Callable[..., None]: ...
    def outputs(self, study: Study) -> Files: ...
    def work(self, study: Study) -> Iterator[Work]: ...


def told(function: Callable[..., Told], study: Study, wildcards: Mapping[str, str]) -> Told:
    """``function`` called with the study and with those wildcards that it has parameters for."""
    return function(study, **{name: wildcards[name] for name in wildcards_of(function)})


@cache
def wildcards_of(function: Callable[..., Any]) -> tuple[str, ...]:
    return tuple(inspect.signature(function).parameters)[1:]
