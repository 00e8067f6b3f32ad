"""A study: one YAML file that defines a run. Nothing here imports torch: the job graph is built from it."""

from pathlib import Path

from seediff.study.load import load_study
from seediff.study.sections import Column, RealRecipe, Row, Study, SyntheticRecipe

__all__ = ["STUDIES", "Column", "RealRecipe", "Row", "Study", "SyntheticRecipe", "find_study", "load_study"]

STUDIES = Path("config/studies")


def find_study(name: str) -> Path:
    """The file of a study, given as such or by its name."""
    return Path(name) if name.endswith((".yaml", ".yml")) else STUDIES / f"{name}.yaml"
