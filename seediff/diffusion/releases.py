"""What differs between the supported releases of transformers and diffusers. No other module asks which is installed.

transformers 4 has two CLIP tokenizers, and diffusers takes the slow one, which does not tell where in the text a token
is. It also expects other names for the weights of CLIP's text encoder than transformers 5 writes, and fills those that
it does not find with random numbers.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

import torch
import transformers
from torch import nn

if TYPE_CHECKING:
    from diffusers import StableDiffusionPipeline
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
    "errors_only",
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


def load_pipeline(name: str, revision: str | None, dtype: torch.dtype) -> StableDiffusionPipeline:
    """Load the pipeline of a folder or a hub id from safetensors files. Its tokenizer tells where each token is."""
    with errors_only(transformers.utils.logging):  # it warns that torchvision is missing, which nothing here needs
        import diffusers
        from diffusers import StableDiffusionPipeline

    files: dict[str, Any] = {"revision": revision, "safety_checker": None, "use_safetensors": True}
    as_dtype = {"dtype" if _release(diffusers) >= (0, 40) else "torch_dtype": dtype}
    if not TRANSFORMERS_4:
        return StableDiffusionPipeline.from_pretrained(name, **files, **as_dtype)
    folder = Path(name) if os.path.isdir(name) else Path(StableDiffusionPipeline.download(name, **files))
    text_encoder = load_text_encoder(folder / "text_encoder", dtype)
    with errors_only(diffusers.utils.logging):  # it warns that the tokenizer is missing, which comes next
        pipe = StableDiffusionPipeline.from_pretrained(
            folder, text_encoder=text_encoder, tokenizer=None, **files, **as_dtype
        )
    pipe.register_modules(tokenizer=CLIPTokenizer.from_pretrained(folder / "tokenizer"))
    return pipe


def load_text_encoder(folder: Path, dtype: torch.dtype) -> CLIPTextModel:
    """Load CLIP's text encoder, whichever release of transformers wrote it; ``ValueError`` if it lacks a weight."""
    from transformers import CLIPTextModel

    settings: dict[str, Any] = {"dtype": dtype, "use_safetensors": True, "output_loading_info": True}
    if TRANSFORMERS_4:
        settings["key_mapping"] = {r"^(?!text_model\.)": "text_model."}
    loaded: Any = CLIPTextModel.from_pretrained(folder, **settings)
    encoder, about = loaded
    if about["missing_keys"]:
        raise ValueError(f"its text encoder has no weight {min(about['missing_keys'])}")
    return encoder


def swin_feedforward(layer: SwinLayer) -> nn.Module:
    """The last module of the layer's second branch, whose output is added to the first one's."""
    return cast(nn.Module, layer.output if TRANSFORMERS_4 else layer.mlp)


def _release(library: ModuleType) -> tuple[int, ...]:
    """Its major and minor number."""
    return tuple(map(int, library.__version__.split(".")[:2]))
