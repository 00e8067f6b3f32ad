"""Our training sets and benchmarks in detectron2's catalogs, for your own training scripts.

    register_study("mini", Path("exported"))

and in the script's configuration ``DATASETS.TRAIN: ("mini_seediff",)``, ``DATASETS.TEST: ("mini_voc",)``. A data
set's files are written when it is first requested.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial
from pathlib import Path

from seediff.datasets.benchmarks import open_benchmark
from seediff.datasets.images import Pairs
from seediff.datasets.training_sets import load_training_set
from seediff.detectron2.availability import require_detectron2
from seediff.detectron2.dataset_dicts import dataset_dicts, metadata
from seediff.errors import SeediffError
from seediff.workflow import layout
from seediff.workflow.layout import fill
from seediff.workflow.plan import benchmark_folder
from seediff.workflow.study import find_study, load_study


def register_study(study: str, folder: Path) -> list[str]:
    """Register every training set that the study has assembled and every benchmark that is there; returns their names.

    They are called ``<study>_<recipe>`` and ``<study>_<benchmark>``, the latter with the study's classes as labels.
    Each is written to a folder of its own name below ``folder``.
    """
    loaded, names = load_study(find_study(study)), []
    for recipe in loaded.recipes:
        training_set = Path(fill(layout.TRAINING_SET, study=loaded.name, recipe=recipe))
        if training_set.exists():
            names.append(f"{loaded.name}_{recipe}")
            register_training_set(names[-1], training_set, loaded.recipe_classes(recipe), folder / names[-1])
    for benchmark, settings in loaded.benchmarks.items():
        source = Path(benchmark_folder(loaded, benchmark))
        if source.exists():
            names.append(f"{loaded.name}_{benchmark}")
            where = settings.format, source, settings.split
            register_benchmark(names[-1], *where, loaded.classes, folder / names[-1], settings.lacks)
    if not names:
        raise SeediffError(
            f"Study {loaded.name!r} has neither training sets nor benchmarks here.\n"
            f"From the repository's root, run `snakemake --cores all --config study={loaded.name}` first."
        )
    return names


def register_training_set(name: str, training_set: Path, classes: Sequence[str], folder: Path) -> None:
    """Register ``results/<study>/training_sets/<recipe>.json`` as ``name``; its pairs are written to ``folder``.

    ``classes``: in label order, without the background.
    """
    pairs = load_training_set(training_set)
    register_pairs(name, pairs, pairs.digest, ["background", *classes], folder)


def register_benchmark(
    name: str,
    format: str,
    benchmark: Path,
    split: str,
    classes: Sequence[str],
    folder: Path,
    lacks: Collection[str] = (),
) -> None:
    """Register one split of a benchmark as ``name``, its labels mapped by name to ``classes``, background first.

    ``lacks``: classes that it does not have.
    """
    pairs = open_benchmark(format, benchmark, split, classes, lacks)
    register_pairs(name, pairs, pairs.identity, list(pairs.label_space.names), folder)


def register_pairs(name: str, pairs: Pairs, identity: str, classes: Sequence[str], folder: Path) -> None:
    """Register any pairs; ``identity`` is a text that changes with their content, ``classes`` include background."""
    require_detectron2()
    from detectron2.data import DatasetCatalog, MetadataCatalog

    if name in DatasetCatalog.list():  # a script or notebook that is run again
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)
    DatasetCatalog.register(name, partial(dataset_dicts, pairs, identity, folder))
    MetadataCatalog.get(name).set(**metadata(classes))
