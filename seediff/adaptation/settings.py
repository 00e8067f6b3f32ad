"""What fixes an adaptation: plain values only, so that reading a study never imports torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt, Le, Len

from seediff.errors import SeediffError
from seediff.names import check_name, check_text, cut, nearest
from seediff.settings import AtOnce, check_bounds

ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")
TARGET_MODULES = (
    *(f"{block}{layer}" for block in ("", "attn1.", "attn2.") for layer in ATTENTION),
    "proj_in", "proj_out", "ff.net.0.proj", "ff.net.2", "conv1", "conv2", "conv_shortcut", "time_emb_proj",
)  # fmt: skip
"""Layers of diffusers' UNet that can be adapted, by the end of their names; attn1 is self-attention, attn2 cross."""

WEIGHTS = "pytorch_lora_weights.safetensors"
"""What diffusers calls the file of an adapter."""

Iterations = Annotated[int, Ge(1), Le(1_000_000)]


@dataclass(frozen=True)
class AdapterSettings:
    """A LoRA adapter and its training."""

    prompts: Annotated[tuple[str, ...], Len(1)]
    """What the target images are shown under, each view under one of them at random."""
    rank: Annotated[int, Ge(1), Le(1024)] = 4
    """The rank of every layer's update."""
    iterations: Iterations = 1000
    """Iterations of the training."""
    batch_size: AtOnce = 4
    """Views in each iteration."""
    learning_rate: Annotated[float, Gt(0)] = 1e-4
    """Learning rate of the training."""
    target_modules: Annotated[tuple[str, ...], Len(1)] = ATTENTION
    """The layers that are updated, by the end of their names."""
    checkpoint_every: Iterations = 100
    """Iterations between states that a killed training goes on from."""

    def __post_init__(self) -> None:
        check_bounds("Adaptation", self)
        for prompt in self.prompts:
            _check_line("prompt", prompt)
        for name in self.target_modules:
            if name not in TARGET_MODULES:
                raise SeediffError(f"Adaptation: there is no module {name!r}.\n{nearest(name, TARGET_MODULES)}")


def _check_line(what: str, text: str) -> None:
    try:
        check_text(text)
    except ValueError as error:
        raise SeediffError(f"Adaptation: the {what} {cut(text, 60)!r} {error}.") from None


@dataclass(frozen=True)
class Adaptation(AdapterSettings):
    """LoRA of the diffusion model from unlabelled images (docs/methods/lora-adaptation.md).

    The target images are those of a ``benchmark``, or of a plain ``folder``.
    """

    benchmark: str | None = None
    """The data set of the target images, an entry of ``benchmarks``; its labels stay unread."""
    split: str = "train"
    """The benchmark's split."""
    folder: str | None = None
    """A folder: every photograph in it and below it, beside which there are only notes."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.benchmark is None) == (self.folder is None):
            raise SeediffError(
                "Adaptation: give either 'benchmark', whose images are the target, or 'folder', where images are."
            )
        check_name("The split", self.split)
        if self.folder is not None:
            _check_line("folder", self.folder)
        if self.folder == "":
            raise SeediffError("Adaptation: the folder is empty.\nSay where the target images are.")
