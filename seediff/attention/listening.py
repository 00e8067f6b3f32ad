"""Listening to a denoiser's attention layers: every layer keeps its own code, and the image does not change.

While a layer runs, a mode hands the queries and keys of its fused attention to the accumulator. What is heard is
checked against what the family of the denoiser says a call is made of: which layers run, once each, over how many
positions, in which grid, with how many tokens. Anything else is refused, with what was heard.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from importlib.util import find_spec
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from seediff.attention import head_sums
from seediff.attention.accumulator import CROSS, SELF, Accumulator, Attended, Layout, Recordings
from seediff.attention.apart import NOTHING, Apart, Shelf
from seediff.attention.calls import ALL, Calls
from seediff.attention.families import JOINT, LINEAR, Family, Place, family_of
from seediff.attention.head_sums import Fill
from seediff.attention.maps import AttentionMaps, Size
from seediff.attention.tokens import TokenizedPrompt
from seediff.diffusion.outputs import checked_denoiser
from seediff.errors import SeediffError
from seediff.replacing import replaced

Arguments = Mapping[str, Any]
"""Of the denoiser's forward, by name."""


@dataclass(frozen=True)
class Wanted:
    """What is recorded of a call of the denoiser.

    ``rows``: those of the batch that are the images' own, in the images' order. ``recordings``: those that the call
    counts for. ``prompts``: the images', where they are known before they are drawn.
    """

    rows: Sequence[int] = ()
    recordings: Recordings = frozenset()
    prompts: Sequence[TokenizedPrompt] | None = None


@dataclass(frozen=True)
class Choice:
    """The layers that are heard, by patterns of their names, and those of them that are kept apart."""

    layers: tuple[str, ...] = ("*",)
    apart: Apart = NOTHING


def _fitting(patterns: Sequence[str], layers: Mapping[str, str]) -> dict[str, str]:
    """Those of the layers; ``SeediffError`` for a pattern that fits none."""
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in layers):
            names = [*layers]
            raise SeediffError(
                f"No attention layer that is recorded is called {pattern!r}.\n"
                f"There are {len(names)}, from {names[0]} to {names[-1]}; * stands for any characters."
            )
    return {name: kind for name, kind in layers.items() if any(fnmatchcase(name, pattern) for pattern in patterns)}


EVERY_LAYER = Choice()


class _Tap(TorchFunctionMode):
    """While active, hands fused attention to ``listener``."""

    def __init__(self, listener: Listener, layer: str) -> None:
        super().__init__()
        self.listener, self.layer = listener, layer

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is not F.scaled_dot_product_attention:
            return func(*args, **(kwargs or {}))
        return self._attend(*args, **(kwargs or {}))

    def _attend(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        **rest: Any,
    ) -> Tensor:
        if is_causal or dropout_p:
            raise SeediffError(
                f"The layer {self.layer} looks at earlier positions only, or drops some at random.\n"
                "Such attention cannot be recorded: use the pipeline's own layers."
            )
        output, fill = _attention(query.device.type)(query, key, value, attn_mask, **rest)
        with torch.autocast(query.device.type, enabled=False):
            self.listener.hear(self.layer, query, key.shape[2], fill)
        return output


class _LinearTap(TorchFunctionMode):
    """While active, hands the rectified queries and keys of a linear layer to ``listener``."""

    def __init__(self, listener: Listener, layer: str) -> None:
        super().__init__()
        self.listener, self.layer = listener, layer
        self.rectified: list[Tensor] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        if func is F.relu:
            self.rectified.append(output)
            if len(self.rectified) == 2:  # query (batch, heads, width, positions), key (..., positions, width)
                query, key = self.rectified
                with torch.autocast(query.device.type, enabled=False):
                    self.listener.hear(self.layer, query.mT, key.shape[2], head_sums.linear(query.mT, key))
        return output


@cache
def _attention(device: str) -> Callable[..., tuple[Tensor, Fill]]:
    """Attention that can be recorded: in one kernel on a GPU with Triton."""
    if device == "cuda" and find_spec("triton"):
        from seediff.attention import fused

        return fused.attend
    return head_sums.attend


class Listener:
    """What is heard of a denoiser's calls: ``accumulator`` holds it, ``latent_size`` is that of the images so far."""

    def __init__(
        self, family: Family, denoiser: nn.Module, wanted: Callable[[Arguments], Wanted], choice: Choice
    ) -> None:
        self.accumulator = Accumulator()
        self.layers = _fitting(choice.layers, family.layers_of(denoiser))
        self.shelf = Shelf(choice.apart, _fitting(choice.apart.layers, self.layers))
        self._call = -1
        self.latent_size: Size | None = None
        self._images: int | None = None
        self._batch = self._own = 0
        self._family, self._denoiser, self._wanted = family, denoiser, wanted
        self._signature = inspect.signature(type(denoiser).forward)
        self._recordings: Recordings = frozenset()
        self._places: list[tuple[int, Place]] = []
        self._grid: Size | None = None
        self._heard: dict[str, int] = {}

    def restart(self) -> None:
        """Forget everything heard so far."""
        self.accumulator.restart()
        self.shelf.restart()
        self.latent_size = self._images = None
        self._call = -1

    def stop(self) -> None:
        """Hear nothing more, wherever others have kept a layer's replaced forward."""
        self._recordings = frozenset()

    def maps(self, prompts: Sequence[TokenizedPrompt], calls: Calls = ALL) -> list[AttentionMaps]:
        """As ``Accumulator.maps``; ``SeediffError`` if the denoiser has not run."""
        if self.latent_size is None:
            raise SeediffError(
                "No attention has been recorded yet.\nRun the pipeline inside the with-block before asking for maps."
            )
        return self.accumulator.maps(prompts, self.latent_size, calls)

    def begin(self, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Prepare for one call of the denoiser."""
        arguments = self._signature.bind(self._denoiser, *args, **kwargs).arguments
        if missing := [name for name in self._family.text if arguments.get(name) is None]:
            raise SeediffError(
                f"The denoiser was called without {missing[0]}, so it attends to no text.\nDraw from a text prompt."
            )
        wanted = self._wanted(arguments)
        rows, self._recordings = wanted.rows, wanted.recordings
        self._batch = len(arguments[next(iter(self._family.text))])
        self._heard, self._grid = dict.fromkeys(self.layers, 0), None
        if not rows:
            self._recordings = frozenset()
            return
        self._own = rows[-1] + 1
        self._call += 1
        self._places = [(row, self._family.place(self._denoiser, arguments, row)) for row in rows]
        sizes = {place.size for _, place in self._places}
        self._check_images(len(rows), sizes)
        self._check_tokens(wanted.prompts)
        (self.latent_size,) = sizes

    def _check_images(self, images: int, sizes: set[Size]) -> None:
        sizes = sizes | ({self.latent_size} if self.latent_size else set())
        if len(sizes) > 1:
            raise SeediffError(
                f"The denoiser was given latents of {' and '.join(f'{h} x {w}' for h, w in sorted(sizes))}.\n"
                "Record images of one size at a time."
            )
        if self._images not in (None, images):
            raise SeediffError(
                f"The denoiser was given {images} images at once while recording {self._images}.\n"
                "Record one batch at a time."
            )
        self._images = images

    def _check_tokens(self, prompts: Sequence[TokenizedPrompt] | None) -> None:
        for (_, place), prompt in zip(self._places, prompts, strict=True) if prompts is not None else ():
            if place.tokens != len(prompt.tokens):
                raise SeediffError(
                    f"The denoiser attends to {place.tokens} vectors for the prompt {prompt.text!r}, which has"
                    f" {len(prompt.tokens)} tokens: which words these stand for is unknown.\n"
                    "Use the pipeline's own encode_prompt, without vectors that are added to its text."
                )

    def enter_grid(self, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """The layers that follow attend over the positions of this input, (batch, channels, h, w)."""
        height, width = (args[0] if args else kwargs["hidden_states"]).shape[-2:]
        self._grid = height, width

    def listening(self, name: str, forward: Callable[..., Any]) -> Callable[..., Any]:
        """The layer's ``forward``, heard where a recording wants the call."""

        def listened(*args: Any, **kwargs: Any) -> Any:
            if not self._recordings:
                return forward(*args, **kwargs)
            with (_LinearTap if self.layers[name] == LINEAR else _Tap)(self, name):
                return forward(*args, **kwargs)

        return listened

    def hear(self, name: str, query: Tensor, keys: int, fill: Fill) -> None:
        """One fused attention of a layer: query (batch, heads, positions, width)."""
        batch, heads, queries, _ = query.shape
        if self._heard[name] and self._is_further(name, batch, keys):
            return
        if batch not in (self._own, self._batch):  # rows after the images' own may have an attention of another kind
            raise SeediffError(
                f"The layer {name} attends for {batch} rows of a batch, where {self._batch} were expected.\n"
                "Tiles, windows and the skipping of guidance cannot be recorded: use the pipeline without them."
            )
        layouts = [self._layout(name, row, place, queries, keys) for row, place in self._places]
        self._heard[name] += 1
        attended = Attended(name, layouts, heads, keys, query.device, fill)
        self.accumulator.add(self._recordings, attended)
        self.shelf.add(self._call, attended)

    def _is_further(self, name: str, batch: int, keys: int) -> bool:
        """Whether this is attention beside the images' own.

        It may look at an image prompt's tokens (IP-Adapter), or be that of the perturbed rows that follow the images'
        own (PAG).
        """
        is_of_image_prompt = self.layers[name] == CROSS and keys != self._places[0][1].tokens
        return is_of_image_prompt or batch == self._batch - self._own

    def _layout(self, name: str, row: int, place: Place, queries: int, keys: int) -> Layout:
        kind, size = self.layers[name], self._grid or place.size
        positions = size[0] * size[1]
        if kind == JOINT and keys == place.total and queries in (place.total, positions):
            own = place.image if queries == place.total else slice(0, positions)
            return Layout(row, size, own, {CROSS: place.text, SELF: place.image})
        if kind in (SELF, LINEAR) and queries == keys == positions:
            return Layout(row, size, slice(0, positions), {SELF: slice(0, positions)})
        if kind == CROSS and (queries, keys) == (positions, place.tokens):
            return Layout(row, size, slice(0, positions), {CROSS: slice(0, keys)})
        seen = f"{queries} positions that look at {keys}"
        expected = {
            JOINT: f"{place.total} of text and image",
            SELF: f"{positions} of image ({size[0]} x {size[1]})",
            LINEAR: f"{positions} of image ({size[0]} x {size[1]})",
            CROSS: f"{positions} of image ({size[0]} x {size[1]}) that look at {place.tokens} tokens",
        }
        raise SeediffError(
            f"The layer {name} attends with {seen}, where {expected[kind]} were expected.\n"
            "Merged tokens, windows and replaced layers cannot be recorded: use the pipeline without them."
        )

    def end(self, *_: Any) -> None:
        """Raise ``SeediffError`` unless every layer was heard exactly once."""
        if not self._recordings:
            return
        wrong = [(name, times) for name, times in self._heard.items() if times != 1]
        if not wrong:
            return
        name, times = wrong[0]
        processor = type(getattr(self._denoiser.get_submodule(name), "processor", None)).__name__
        raise SeediffError(
            f"{len(wrong)} of {len(self._heard)} attention layers were not heard once in a call of the denoiser: {name}"
            f" was heard {times} times; its attention is computed by {processor}.\n"
            "Only PyTorch's scaled_dot_product_attention can be recorded, in all layers: turn attention slicing,"
            " xFormers, other attention backends and the skipping of layers off."
        )


@contextmanager
def listen(denoiser: Any, wanted: Callable[[Arguments], Wanted], choice: Choice = EVERY_LAYER) -> Iterator[Listener]:
    """Hear the denoiser's calls inside the with-block.

    ``wanted``: what each call is, by its arguments. ``choice``: which layers are heard. ``SeediffError`` for a denoiser
    of no known family, if it is being recorded already, for layers that it does not have, and, in the call itself, for
    attention that cannot be recorded or what is not finite.
    """
    family = family_of(denoiser)
    if not {CROSS, JOINT} & {*family.layers_of(denoiser).values()}:
        raise SeediffError(
            f"The attention of this {type(denoiser).__name__} cannot be recorded: it has no layer that looks at text as"
            f" those of {family.name} do.\nUse a pipeline whose denoiser has such layers."
        )
    listener = Listener(family, denoiser, wanted, choice)
    if any(isinstance(getattr(hook, "__self__", None), Listener) for hook in denoiser._forward_pre_hooks.values()):
        raise SeediffError("This model's attention is being recorded already.\nEnd that with-block first.")
    with ExitStack() as stack:
        stack.enter_context(torch.compiler.set_stance("force_eager"))  # compiled code cannot be listened to
        for name in listener.layers:
            layer = denoiser.get_submodule(name)
            stack.enter_context(replaced(layer, "forward", listener.listening(name, layer.forward)))
        for grid in family.grids_of(denoiser):
            stack.enter_context(_hook(grid.register_forward_pre_hook(listener.enter_grid, with_kwargs=True)))
        stack.enter_context(_hook(denoiser.register_forward_pre_hook(listener.begin, with_kwargs=True)))
        stack.enter_context(_hook(denoiser.register_forward_hook(listener.end)))
        stack.enter_context(checked_denoiser(denoiser, family.timestep))
        stack.callback(listener.stop)
        yield listener


@contextmanager
def _hook(handle: Any) -> Iterator[None]:
    try:
        yield
    finally:
        handle.remove()
