"""The first value that is not finite stops the work, with the image and the part of the model that it came from.

NaN and infinity pass unseen through clamping, rounding and comparison: an image becomes black, a mask empty, and no
limit of a filter leaves the pair out. So the outputs of networks are checked. A sum is not finite where one
of its terms is not, and reads each value once, without a copy. (Nor is it where terms of 1e30 and more add up beyond
float32, but no working network computes such values.)

Nothing here imports torch before something is checked: mask steps are checked while the job graph is built.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from seediff.errors import SeediffError

if TYPE_CHECKING:
    from torch import Tensor, dtype


class NotFiniteError(SeediffError):
    """``part`` is what holds the value, ``row`` its place in the batch, ``advice`` what to try.

    Rows are images; under guidance there are two of each, first all of the one kind, then all of the other.
    """

    def __init__(self, part: str, row: int, advice: str, image: str = "") -> None:
        said = f"{image}: {part}" if image else part[0].upper() + part[1:]
        super().__init__(f"{said} is not finite.\n{advice}")
        self.part, self.row, self.advice, self.image = part, row, advice, image


@contextmanager
def naming(images: Sequence[str]) -> Iterator[None]:
    """Name the image in errors raised inside the with-block; ``images`` are those of the batch, in its order."""
    try:
        yield
    except NotFiniteError as error:
        if not images:
            raise
        raise NotFiniteError(error.part, error.row, error.advice, images[error.row % len(images)]) from None


@contextmanager
def within(whole: str) -> Iterator[None]:
    """Add ``whole``, such as a variant, to the part that errors inside the with-block name."""
    try:
        yield
    except NotFiniteError as error:
        raise NotFiniteError(f"{error.part} of {whole}", error.row, error.advice, error.image) from None


def check_finite(values: Tensor, part: str, advice: str) -> None:
    """Raise ``NotFiniteError`` for the first of the rows of ``values`` (rows, ...) that is not finite throughout."""
    row = first_not_finite(values)
    if row is not None:
        raise NotFiniteError(part, row, advice)


def first_not_finite(values: Tensor) -> int | None:
    """The first row of ``values`` (rows, ...) that holds a value that is not finite."""
    import torch

    finite = values.detach().flatten(1).sum(1, dtype=torch.float32).isfinite()
    return None if finite.all() else int(finite.int().argmin())


def check_weights(weights: Mapping[str, Tensor], whose: str, advice: str) -> None:
    """Raise ``SeediffError``, naming the first weight that is not finite throughout, if there is one."""
    import torch

    floating = {name: weight.detach() for name, weight in weights.items() if weight.is_floating_point()}
    if not floating:
        return
    finite = torch.stack([weight.sum(dtype=torch.float32).isfinite() for weight in floating.values()])
    if not finite.all():
        name = list(floating)[int(finite.int().argmin())]
        raise SeediffError(f"{whose} holds a weight that is not finite, in {name!r}.\n{advice}")


def check_step(losses: Mapping[str, Tensor], norms: Sequence[Tensor], iteration: int) -> None:
    """Raise ``SeediffError`` if a part of the loss or a gradient's norm (scalars) is not finite.

    To be called before the optimiser uses the gradient, so that no weight and no saved state ever holds it.
    """
    import torch

    values = torch.stack([value.detach().float() for value in (*losses.values(), *norms)])
    if values.isfinite().all():
        return
    found = values[: len(losses)].tolist()
    parts = ", ".join(f"{name} {value:.4g}" for name, value in zip(losses, found, strict=True))
    what = "gradient" if values[: len(losses)].isfinite().all() else "loss"
    raise SeediffError(
        f"The {what} became infinite or NaN at iteration {iteration} (loss: {parts}).\nTry a lower learning_rate."
    )


def remedy(precision: dtype, other: str) -> str:
    """What to try if a network that computes in ``precision`` gave a value that is not finite."""
    name = str(precision).removeprefix("torch.")
    if name == "float16":
        return f"float16 ends at 65504: try the dtype bfloat16 or float32, or {other}."
    if name == "bfloat16":
        return f"Try the dtype float32, or {other}."
    return f"Its weights, or those of an adapter, may be damaged: try {other}."
