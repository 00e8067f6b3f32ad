"""A study: one YAML file that defines a run. Nothing here imports torch: the job graph is built from it."""

from pathlib import Path

from seediff.errors import SeediffError
from seediff.workflow.study.load import load_study, read_snapshot, write_snapshot
from seediff.workflow.study.outputs import Column, Row
from seediff.workflow.study.paths import check_paths
from seediff.workflow.study.sections import RealRecipe, Study, SyntheticRecipe

__all__ = [
    "STUDIES",
    "Column",
    "RealRecipe",
    "Row",
    "Study",
    "SyntheticRecipe",
    "check_paths",
    "find_study",
    "load_study",
    "read_snapshot",
    "write_snapshot",
]

STUDIES = Path("config/studies")


def find_study(name: str) -> Path:
    """The file of a study, given by its path or its name; raises ``SeediffError`` for an empty name."""
    if not name:
        raise SeediffError(f"The name of the study is empty.\nGive the name of a study in {STUDIES}, such as 'mini'.")
    return Path(name) if name.endswith((".yaml", ".yml")) else STUDIES / f"{name}.yaml"
