"""The optional parts of the package, and how to install what they need where it is missing."""

from __future__ import annotations

from importlib.util import find_spec

from seediff.errors import SeediffError

EXTRAS: dict[str, tuple[str, ...]] = {
    "coco": ("pycocotools",),
    "workflow": ("jinja2", "matplotlib", "pandas", "pydantic"),
    "demo": ("gradio", "matplotlib"),
    "lora": ("peft",),
    "onnx": ("onnx", "onnxruntime", "onnxscript"),
    "wordnet": ("wn",),
    "huggingface": ("datasets",),
}
"""For each extra of pyproject.toml that code asks for, the modules which that code imports."""


class MissingExtraError(SeediffError, ImportError):
    """The packages of an extra are not installed."""


def require_extra(extra: str) -> None:
    """Raise ``MissingExtraError``, which says what to install, if a module of the extra is missing."""
    missing = [module for module in EXTRAS[extra] if find_spec(module) is None]
    if missing:
        raise MissingExtraError(f'{", ".join(missing)} not installed: pip install "seediff[{extra}]"')
