"""How well an image fits its prompt: the similarity of the two by CLIP."""

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
    """A CLIP model (Radford et al., ICML 2021) with its tokenizer and image processor."""

    model: CLIPModel
    tokenizer: Any
    preparation: Any

    @torch.inference_mode()
    def similarities(self, images: Sequence[NDArray[np.uint8]], prompts: Sequence[str]) -> list[float]:
        """Cosine between the embeddings of each image (H, W, 3) uint8 and its prompt, in [-1, 1].

        Long prompts are truncated. Raises ``SeediffError`` for a cosine that is not finite.
        """
        # A tokenizer that does not know its maximum length would keep more tokens than the model reads.
        longest = min(self.tokenizer.model_max_length, self.model.text_model.config.max_position_embeddings)
        words = self.tokenizer(list(prompts), padding=True, truncation=True, max_length=longest, return_tensors="pt")
        pixels = self.preparation(list(images), return_tensors="pt")
        embedded = self.model(**words.to(self.model.device), **pixels.to(self.model.device))
        cosines = (embedded.image_embeds * embedded.text_embeds).sum(-1)
        check_finite(cosines[:, None], "its similarity to its prompt by CLIP", "Use another clip_model.")
        return [float(cosine) for cosine in cosines.clamp(-1, 1)]


def load_clip(model: str) -> Clip:
    """Load a CLIP model from a hub id (also ``id@revision``) or a folder, safetensors only; on the GPU if there is one.

    Raises ``SeediffError`` if there is no such model, or if a weight is not finite.
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
    except Exception as error:  # transformers raises a dozen different types for invalid files
        problem = f"No CLIP model could be loaded from {model}"
        raise not_loaded(problem, model, error, "Give the folder or the id of a CLIP model.") from None
    check_weights(dict(clip.named_parameters()), f"The CLIP model {model}", "Download it again, or use another.")
    return Clip(clip.eval().to("cuda" if torch.cuda.is_available() else "cpu"), words, pixels)
