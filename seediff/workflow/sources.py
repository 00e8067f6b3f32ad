"""The models of the hub and the real data sets that a study uses.

A hub id stands for another model whenever a new one is uploaded. So the process that plans a run asks once which commit
each id stands for, and tells every job. ``sources.json`` in the results keeps the answers for later runs, and the
fingerprints of the data sets for machines that have the results but not the data.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, Field, ValidationError

from seediff.datasets.items import fingerprint
from seediff.datasets.registry import find_format
from seediff.datasets.unlabelled import folder_images
from seediff.diffusion.model_files import hub_commit, is_hub_id, names_commit, reference, split_reference
from seediff.errors import SeediffError
from seediff.files.sealed import read_json, write_json
from seediff.workflow import layout
from seediff.workflow.plan import benchmark_folder, model_files, network_inputs
from seediff.workflow.study import RealRecipe, Study, check_paths
from seediff.workflow.study.outputs import SceneJudge
from seediff.workflow.study.sections import Diffusion

LARGE = 2**26
"""Bytes; smaller files are read whenever a run is planned."""
FILE = Path(layout.SOURCES).name


@dataclass(frozen=True)
class Data:
    """Real data that a study reads: a ``split`` of a data set of that format, or the images of a plain folder."""

    folder: str
    format: str | None = None
    split: str | None = None

    @property
    def name(self) -> str:
        return f"{self.folder} {self.split}" if self.split else self.folder

    @property
    def files(self) -> list[Path]:
        """The images, and a split's label files, in their order. ``SeediffError`` if a file is missing."""
        return self._listed[0]

    @cached_property
    def _listed(self) -> tuple[list[Path], str]:
        """The files, and what stands for the contents of a list of classes; both are read once."""
        folder = Path(self.folder)
        if self.format is None or self.split is None:
            return list(folder_images(folder).files), ""
        known = find_format(self.format).of(folder, self.split)
        items = known.list_items(folder, self.split)
        paths = [path for item in items for path in (item.image, item.labels)]
        return [*dict.fromkeys(paths)], known.digest  # the labels of all images can be in one file

    def fingerprint(self) -> str | None:
        """A checksum over the files' names and sizes, and over a list of classes; None if a file is missing."""
        try:
            files, contents = self._listed
        except SeediffError:
            return None
        return fingerprint(Path(self.folder), files, contents)


@dataclass(frozen=True)
class Checksum:
    """The ``sha256`` of a file, with its ``size`` and the time of its last change, in nanoseconds, at that moment."""

    size: int
    changed: int
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


def _checksum(path: str, noted: Checksum | None) -> Checksum:
    """The noted checksum, or a new one if the file has changed since: about a second for each gigabyte."""
    now = Path(path).stat()
    if noted and (noted.size, noted.changed) == (now.st_size, now.st_mtime_ns):
        return noted
    with open(path, "rb") as file:
        return Checksum(now.st_size, now.st_mtime_ns, hashlib.file_digest(file, "sha256").hexdigest())


@dataclass(frozen=True)
class Sources:
    """``commits``: by hub id, as in the study. ``data``: fingerprints, by ``Data.name``. ``files``: checksums of the
    large files of local models, by path."""

    commits: Mapping[str, str] = field(default_factory=dict)
    data: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, Checksum] = field(default_factory=dict)

    def checksum(self, path: str) -> str:
        """The sha256 of a file that no job makes; empty if it is missing, which the job itself reports."""
        try:
            return _checksum(path, self.files.get(path)).sha256
        except OSError:
            return ""


class _Noted(BaseModel):
    commits: dict[str, Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]]
    data: dict[str, Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]]
    files: dict[str, Checksum] = {}


def read_sources(results: Path) -> Sources:
    """The sources recorded by an earlier run; empty if there was none."""
    path = results / FILE
    if not path.exists():
        return Sources()
    try:
        noted = _Noted.model_validate(read_json(path, "The list of sources"))
    except ValidationError:
        raise SeediffError(f"{path} is not the list of a study's sources.\nDelete it and run again.") from None
    return Sources(noted.commits, noted.data, noted.files)


def write_sources(results: Path, sources: Sources) -> None:
    """Write the sources for later runs, unless there are none or nothing is new."""
    if sources != Sources() and sources != read_sources(results):
        write_json(results / FILE, asdict(sources))


def find_sources(study: Study, noted: Sources, data: Iterable[Data]) -> Sources:
    """The sources of a study now: commits as noted, or from the hub; fingerprints of ``data`` as it is, or as noted."""
    return replace(local_sources(study, noted, data), commits=find_commits(study, noted))


def local_sources(study: Study, noted: Sources, data: Iterable[Data]) -> Sources:
    """The same without asking the hub: ids that were not noted have no commit."""
    fingerprints = {read.name: read.fingerprint() or noted.data.get(read.name) for read in data}
    known = {name: found for name, found in fingerprints.items() if found}
    files = {path: _checksum(path, noted.files.get(path)) for path in _large_files(study)}
    return Sources(noted.commits, known, files)


def _large_files(study: Study) -> list[str]:
    """The files of local models that take long to read."""
    networks = [segmenter.pretrained for segmenter in study.segmenters.values()]
    networks += [settings.clip_model for settings in study.filters.values()]
    models = [study.diffusion.model, *_judges_models(study)]
    files = [path for model in models for path in model_files(model)]
    files += [path for name in networks if name for path in network_inputs(name)]
    return [path for path in dict.fromkeys(files) if Path(path).stat().st_size > LARGE]


def find_commits(study: Study, noted: Sources) -> dict[str, str]:
    """The commits of the study's hub ids, as noted before, in this machine's cache, or on the hub."""
    commits = {model: noted.commits.get(model) or hub_commit(model) for model in hub_models(study)}
    return {model: commit for model, commit in commits.items() if commit}


def hub_models(study: Study) -> list[str]:
    """Every hub id of the study without a commit: of diffusion models, of backbones, of CLIP."""
    named = [study.diffusion.reference]
    named += _judges_models(study)
    named += [segmenter.pretrained for segmenter in study.segmenters.values() if segmenter.pretrained]
    named += [settings.clip_model for settings in study.filters.values() if settings.clip_model]
    return [name for name in dict.fromkeys(named) if is_hub_id(name) and not names_commit(name)]


def _judges_models(study: Study) -> list[str]:
    """The diffusion models that judges name for themselves."""
    return [judge.model for judge in study.judges.values() if isinstance(judge, SceneJudge) and judge.model]


def check_commits(study: Study, commits: Mapping[str, str]) -> None:
    """Raise ``SeediffError`` if the commit of a hub id is unknown."""
    for model in hub_models(study):
        if model not in commits:
            name, _ = split_reference(model)
            raise SeediffError(
                f"The commit of {model!r} is unknown: it is not on this machine, and the hub did not give it.\n"
                f"Get it (hf download {name}), give a folder, or write its commit into the study (docs/studies.md)."
            )


def check_named(study: Study, data: Iterable[Data], without: str) -> None:
    """Raise ``SeediffError`` if something that the study names is missing; ``without``: how to plan without it."""
    try:
        check_paths(study)
        check_data(data)
    except SeediffError as error:
        raise SeediffError(f"{error}\nTo plan without them, or to run what does not need them: {without}") from None


def check_data(data: Iterable[Data]) -> None:
    """Raise ``SeediffError`` if a file of real data is missing: results would count as made from the noted data."""
    for read in data:
        _ = read.files


def pinned(study: Study, sources: Sources) -> Study:
    """The same study with the commit added to every hub id that has one, and with the fingerprints of its data."""
    commits = sources.commits

    def pin(model: str) -> str:
        return reference(split_reference(model)[0], commits[model]) if model in commits else model

    model = pin(study.diffusion.reference)
    diffusion = Diffusion(**study.diffusion.model_dump(exclude={"model", "revision"}), model=model)
    segmenters = {
        name: replace(segmenter, pretrained=pin(segmenter.pretrained)) if segmenter.pretrained else segmenter
        for name, segmenter in study.segmenters.items()
    }
    filters = {
        name: replace(settings, clip_model=pin(settings.clip_model)) if settings.clip_model else settings
        for name, settings in study.filters.items()
    }
    judges = {
        name: judge.model_copy(update={"model": pin(judge.model)})
        if isinstance(judge, SceneJudge) and judge.model
        else judge
        for name, judge in study.judges.items()
    }
    parts = {"diffusion": diffusion, "segmenters": segmenters, "filters": filters, "judges": judges}
    return study.model_copy(update=parts).reading(sources.data)


def real_data(study: Study) -> list[Data]:
    """Every split and folder that the workflow reads but does not draw."""
    return list(dict.fromkeys(_real_data(study)))


def _real_data(study: Study) -> Iterator[Data]:
    for name, benchmark in study.benchmarks.items():
        yield from benchmark_data(study, name, benchmark.split)
    for recipe in study.recipes.values():
        if isinstance(recipe, RealRecipe):
            yield from benchmark_data(study, recipe.benchmark, recipe.split)
    for adaptation in study.adaptations:
        yield from adaptation_data(study, adaptation)


def benchmark_data(study: Study, benchmark: str, split: str) -> Iterable[Data]:
    settings = study.benchmarks[benchmark]
    return [] if settings.embedded else [Data(benchmark_folder(study, benchmark), settings.format, split)]


def adaptation_data(study: Study, adaptation: str) -> Iterable[Data]:
    images = study.adaptations[adaptation]
    return benchmark_data(study, images.benchmark, images.split) if images.benchmark else [Data(str(images.folder))]


def fingerprint_of(study: Study, data: Iterable[Data]) -> str | None:
    """The fingerprint of the data; None for a stand-in, or for missing data, which the job itself reports."""
    return next((study.fingerprint(read.name) for read in data), None)
