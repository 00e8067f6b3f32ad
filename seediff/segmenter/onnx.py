"""A trained segmenter as an ONNX file, for programs without torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from seediff.errors import SeediffError
from seediff.extras import require_extra
from seediff.files.sealed import partial
from seediff.names import reason
from seediff.segmenter.backbones import normalize
from seediff.segmenter.evaluate import Segmenter, padded_scores

OPSET = 18
TOLERANCE = 1e-3
"""The largest difference between the file's scores and the segmenter's, as a share of the largest score."""


class _FromImage(nn.Module):
    """Class scores (1, C, H, W) of an image (1, H, W, 3) uint8."""

    def __init__(self, segmenter: Segmenter) -> None:
        super().__init__()
        self._segmenter, self.model = segmenter, segmenter.model

    def forward(self, image: Tensor) -> Tensor:
        return padded_scores(self._segmenter, normalize(image))


@torch.no_grad()
def export_onnx(segmenter: Segmenter, path: Path, size: tuple[int, int]) -> None:
    """Write a file with the input ``image`` (1, H, W, 3) uint8 and the output ``scores`` (1, C, H, W).

    ``size``: (H, W), which is fixed. What the file gives is held against the segmenter before it is written:
    ``SeediffError`` if they differ, or if the architecture cannot be exported.
    """
    require_extra("onnx")
    _without_fused_attention(segmenter.model)
    module = _FromImage(segmenter).eval()
    image = torch.randint(0, 256, (1, *size, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    expected = module(image)
    with partial(path) as unfinished:
        try:
            torch.onnx.export(
                module,
                (image,),
                unfinished,
                dynamo=True,
                external_data=False,
                opset_version=OPSET,
                input_names=["image"],
                output_names=["scores"],
                verbose=False,
            )
        except Exception as error:  # the exporter has no class of its own for all that it cannot do
            raise SeediffError(f"This segmenter cannot be written as ONNX: {reason(error)}") from error
        found = _run(unfinished, image.numpy())
        difference = float(np.abs(found - expected.numpy()).max() / expected.abs().max())
        if not difference < TOLERANCE:
            raise SeediffError(
                f"The ONNX file gives other scores than the segmenter, by {difference:.1e} of the largest.\n"
                "Use it from Python instead: docs/data-set-of-your-own.md."
            )


def _without_fused_attention(model: nn.Module) -> None:
    """Let transformers' networks write attention out: the exporter cannot take Swin's fused attention apart."""
    for module in model.modules():
        if getattr(config := getattr(module, "config", None), "_attn_implementation", None) == "sdpa":
            cast(Any, config)._attn_implementation = "eager"


def _run(path: Path, image: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    import onnxruntime

    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    return cast("np.ndarray[Any, Any]", session.run(["scores"], {"image": image})[0])
