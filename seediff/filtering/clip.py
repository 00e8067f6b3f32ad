"""How well an image fits its prompt, by a CLIP model: the cosine of their embeddings (Radford et al., ICML 2021)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from seediff.diffusion.model_files import is_local, not_loaded, split_reference
from seediff.errors import SeediffError
from seediff.finite import check_finite, check_weights

if TYPE_CHECKING:
    from transformers import CLIPModel


@dataclass(frozen=True)
class Clip:
    """A CLIP model with what prepares its images and words."""

    model: CLIPModel
    tokenizer: Any
    preparation: Any

    @torch.inference_mode()
    def similarities(self, images: Sequence[NDArray[np.uint8]], prompts: Sequence[str]) -> list[float]:
        """Cosine of each image (H, W, 3) uint8 with its own prompt, in [-1, 1]; long prompts are cut off.

        Raises ``SeediffError`` if one is not finite.
        """
        # A tokenizer that does not say how many tokens it keeps would keep more than the model reads.
        longest = min(self.tokenizer.model_max_length, self.model.text_model.config.max_position_embeddings)
        words = self.tokenizer(list(prompts), padding=True, truncation=True, max_length=longest, return_tensors="pt")
        pixels = self.preparation(list(images), return_tensors="pt")
        embedded = self.model(**words.to(self.model.device), **pixels.to(self.model.device))
        cosines = (embedded.image_embeds * embedded.text_embeds).sum(-1)
        check_finite(cosines[:, None], "its similarity to its prompt by CLIP", "Give another clip_model.")
        return [float(cosine) for cosine in cosines.clamp(-1, 1)]


def load_clip(model: str) -> Clip:
    """Load a CLIP model from a hub id (also ``id@revision``) or a folder, safetensors only; on the GPU if there is one.

    Raises ``SeediffError`` if there is none, or if a weight is not finite.
    """
    from transformers import CLIPModel

    from seediff.diffusion.releases import CLIPImageProcessor, CLIPTokenizer

    if is_local(model) and not Path(model).is_dir():
        raise SeediffError(f"There is no model folder {model}.\nGive the folder or the id of a CLIP model.")
    try:
        name, revision = split_reference(model)
        at = revision or "main"
        clip = CLIPModel.from_pretrained(name, revision=at, use_safetensors=True)
        words, pixels = (kind.from_pretrained(name, revision=at) for kind in (CLIPTokenizer, CLIPImageProcessor))
    except Exception as error:  # the parts' readers raise a dozen different types for files that make no sense
        problem = f"No CLIP model could be loaded from {model}"
        raise not_loaded(problem, model, error, "Give the folder or the id of a CLIP model.") from None
    check_weights(dict(clip.named_parameters()), f"The CLIP model {model}", "Fetch it again, or give another.")
    return Clip(clip.eval().to("cuda" if torch.cuda.is_available() else "cpu"), words, pixels)
