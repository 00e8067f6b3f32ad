"""What differs between the supported releases of transformers and diffusers. No other module asks which is installed.

transformers 4 has two CLIP tokenizers, and diffusers takes the slow one, which does not tell where in the text a token
is. It also expects other names for the weights of CLIP's text encoder than transformers 5 writes, and fills those that
it does not find with random numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

import torch
import transformers
from torch import nn

if TYPE_CHECKING:
    from transformers import CLIPTextModel
    from transformers.models.swin.modeling_swin import SwinLayer

TRANSFORMERS_4 = transformers.__version__.startswith("4.")

if TYPE_CHECKING or not TRANSFORMERS_4:
    from transformers import CLIPImageProcessorPil as CLIPImageProcessor
    from transformers import CLIPTokenizer
else:
    from transformers import CLIPImageProcessor
    from transformers import CLIPTokenizerFast as CLIPTokenizer

__all__ = [
    "CLIPImageProcessor",
    "CLIPTokenizer",
    "diffusers_class",
    "errors_only",
    "load_checkpoint",
    "load_pipeline",
    "load_text_encoder",
    "swin_feedforward",
]


@contextmanager
def errors_only(logging: ModuleType) -> Iterator[None]:
    """``logging``, the ``utils.logging`` of transformers or diffusers, reports only errors inside the with-block."""
    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)


def diffusers_class(name: str) -> Any:
    """One of diffusers' classes; None if this release does not have it."""
    with errors_only(transformers.utils.logging):  # it warns that torchvision is missing, which nothing here needs
        import diffusers

        return getattr(diffusers, name, None)


def load_pipeline(
    kind: Any, folder: Path, parts: Mapping[str, str | None], dtype: torch.dtype, variant: str | None = None
) -> Any:
    """Load a pipeline of a class of diffusers' from safetensors files. Its tokenizers tell where each token is.

    ``parts``: the class of each; None for those that it goes without.
    """
    import diffusers

    absent = {part: None for part, name in parts.items() if name is None}
    files: dict[str, Any] = {"use_safetensors": True, "variant": variant, **absent, **_as_dtype(dtype)}
    if not TRANSFORMERS_4:
        return kind.from_pretrained(folder, **files)
    names = {part: name for part, name in parts.items() if name is not None}
    encoders = {
        part: load_text_encoder(folder / part, dtype, name, variant)
        for part, name in names.items()
        if name.startswith("CLIPTextModel")
    }
    fast = {part: f"{name}Fast" for part, name in names.items() if hasattr(transformers, f"{name}Fast")}
    with errors_only(diffusers.utils.logging):  # it warns that tokenizers are missing, which come next
        pipe = kind.from_pretrained(folder, **files, **encoders, **dict.fromkeys(fast))
    tokenizers = {part: getattr(transformers, name).from_pretrained(folder / part) for part, name in fast.items()}
    pipe.register_modules(**tokenizers)
    return pipe


def load_checkpoint(kind: Any, file: Path, dtype: torch.dtype) -> Any:
    """Load a whole pipeline from a single file of weights, with the configuration that diffusers has for it."""
    return kind.from_single_file(str(file), **_as_dtype(dtype))


def _as_dtype(dtype: torch.dtype) -> dict[str, Any]:
    import diffusers

    return {"dtype" if _release(diffusers) >= (0, 40) else "torch_dtype": dtype}


def load_text_encoder(
    folder: Path, dtype: torch.dtype, kind: str = "CLIPTextModel", variant: str | None = None
) -> CLIPTextModel:
    """Load CLIP's text encoder, whichever release of transformers wrote it; ``ValueError`` if it lacks a weight."""
    settings: dict[str, Any] = {"dtype": dtype, "use_safetensors": True, "output_loading_info": True}
    if variant and any(folder.glob(f"*.{variant}*.safetensors")):
        settings["variant"] = variant
    if TRANSFORMERS_4:
        settings["key_mapping"] = {r"^(?!text_model\.|text_projection\.)": "text_model."}
    loaded: Any = getattr(transformers, kind).from_pretrained(folder, **settings)
    encoder, about = loaded
    if about["missing_keys"]:
        raise ValueError(f"its text encoder has no weight {min(about['missing_keys'])}")
    return cast("CLIPTextModel", encoder)


def swin_feedforward(layer: SwinLayer) -> nn.Module:
    """The last module of the layer's second branch, whose output is added to the first one's."""
    return cast(nn.Module, layer.output if TRANSFORMERS_4 else layer.mlp)


def _release(library: ModuleType) -> tuple[int, ...]:
    """Its major and minor number."""
    return tuple(map(int, library.__version__.split(".")[:2]))
