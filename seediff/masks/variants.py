"""Variants: named lists of mask steps that read aloud, checked and carried out.

A mask step is a pure function ``(score, maps, *, params) -> score``. The first step of a variant, its source, gets
no score and starts one from the cross-attention; each other step goes on from the score it is given, at whatever
side it has. Resolutions are fractions of the latents' side: '1/4', '1/2' and '1' are the paper's 16, 32 and 64.

Nothing here imports torch before a step runs: studies are checked while the job graph is built.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from seediff.errors import SeediffError
from seediff.finite import check_finite
from seediff.masks.aggregation import guided_expansion, mean_cross_attention, summed_cross_attention
from seediff.masks.background import background
from seediff.masks.expansion import expand
from seediff.masks.propagation import propagate
from seediff.masks.released_code import expand_similar, suppress_background
from seediff.masks.scores import resize
from seediff.masks.seeds import cross_attention
from seediff.names import nearest

if TYPE_CHECKING:
    from torch import Tensor

    from seediff.attention.maps import ClassMaps

MOST = 1000
"""Layers, or the power of a matrix."""

Step = tuple[str, dict[str, Any]]
Steps = tuple[Step, ...]

ALPHA = 0.5
"""The paper's threshold for seeds."""

SOURCES: dict[str, Callable[..., Tensor]] = {
    "cross_attention": cross_attention,
    "guided_expansion": guided_expansion,
    "mean_cross_attention": mean_cross_attention,
    "summed_cross_attention": summed_cross_attention,
}

STEPS: dict[str, Callable[..., Tensor]] = {
    **SOURCES,
    "background": background,
    "expand": expand,
    "expand_similar": expand_similar,
    "propagate": propagate,
    "suppress_background": suppress_background,
}

_IRE: Steps = (
    ("cross_attention", {"resolution": "1/4"}),
    ("expand", {"resolution": "1/4"}),
    ("expand", {"resolution": "1/2"}),
    ("expand", {"resolution": "1"}),
)

VARIANTS: dict[str, Steps] = {
    "caa": (("mean_cross_attention", {}),),
    "cre": (("guided_expansion", {}),),
    "ire": _IRE,
    "seediff": (*_IRE, ("background", {"resolution": "1"})),
    "ca_8": (("cross_attention", {"resolution": "1/8"}),),
    "ca_16": (("cross_attention", {"resolution": "1/4"}),),
    "ca_32": (("cross_attention", {"resolution": "1/2"}),),
    "ca_64": (("cross_attention", {"resolution": "1"}),),
    "ca_sa": (("cross_attention", {"resolution": "1/4"}), ("propagate", {"resolution": "1/2", "power": 4})),
    "attn2mask": (("summed_cross_attention", {"layers": {"1/8": 1, "1/4": 5, "1/2": 5, "1": 5}}),),
    "released_code": (
        ("cross_attention", {"resolution": "1/4"}),
        ("expand_similar", {"resolution": "1/4"}),
        ("suppress_background", {"resolution": "1/2"}),
        ("suppress_background", {"resolution": "1"}),
    ),
}
"""Table 2: caa, cre, ire, seediff. Table 4: ca_16, ca_32, ca_64. Table 5: caa, ca_sa, seediff.

ca_8 is DiffuMask's exception for a few classes. attn2mask counts the layers of Stable Diffusion's UNet."""


def named_steps(variant: str | Steps) -> Steps:
    """The steps of a variant in ``VARIANTS``; steps of one's own as (name, parameters), or as a study writes them."""
    if not isinstance(variant, str):
        return _own_steps(variant)
    if variant not in VARIANTS:
        raise SeediffError(f"There is no variant {variant!r}.\n{nearest(variant, VARIANTS)}")
    return VARIANTS[variant]


def _own_steps(written: Any) -> Steps:
    entries = written if isinstance(written, (list, tuple)) else [written]
    steps = tuple(step for one in entries for step in (one.items() if isinstance(one, Mapping) else [one]))
    for step in steps:
        if not isinstance(step, (list, tuple)) or len(step) != 2 or not isinstance(step[1], Mapping):
            raise SeediffError(
                f"A variant of one's own is a list of mask steps with their parameters, {step!r} is none.\n"
                "Write [('cross_attention', {'resolution': '1/4'}), ...]."
            )
    return tuple((name, dict(params)) for name, params in steps)


def scores_by_step(steps: Sequence[Sequence[Any]], maps: ClassMaps) -> list[Tensor]:
    """The score after each of the resolved steps: (r, r) float32 in [0, 1], r the step's own side.

    Raises ``NotFiniteError`` for the first step whose score is not finite.
    """
    scores: list[Any] = [None]
    for name, params in steps:
        score = STEPS[name](scores[-1], maps, **params)
        check_finite(score[None], f"the score after mask step {name!r}", "Record the attention again.")
        scores.append(score)
    return scores[1:]


def apply(steps: Sequence[Sequence[Any]], maps: ClassMaps) -> Tensor:
    """Run resolved steps: the score at the latents' side, (side, side) float32 in [0, 1]."""
    score = scores_by_step(steps, maps)[-1]
    return resize(score, (maps.latent_side, maps.latent_side)).clamp(0, 1)


def resolve(steps: Sequence[Step], *, alpha: float = ALPHA) -> Steps:
    """The steps with every parameter explicit, ready for JSON; ``alpha`` where a step takes one and sets none.

    A step or parameter that does not exist, lacks, or has no possible value is a ``SeediffError``.
    """
    if not steps:
        raise SeediffError(f"A variant needs at least one mask step. Start with one of {', '.join(SOURCES)}.")
    resolved = tuple((name, _explicit(name, params, alpha)) for name, params in steps)
    for position, (name, _) in enumerate(resolved):
        if (name in SOURCES) != (position == 0):
            raise SeediffError(
                f"Mask step {name!r} cannot be number {position + 1} of a variant.\n"
                f"The first step, and no other, is one of {', '.join(SOURCES)}."
            )
    return resolved


def _explicit(name: str, params: Mapping[str, Any], alpha: float) -> dict[str, Any]:
    if name not in STEPS:
        raise SeediffError(f"There is no mask step {name!r}.\n{nearest(name, STEPS)}")
    signature = inspect.signature(STEPS[name])
    accepted = [key for key, one in signature.parameters.items() if one.kind is one.KEYWORD_ONLY]
    for key in params:
        if key not in accepted:
            raise SeediffError(f"Mask step {name!r} has no parameter {key!r}.\n{nearest(str(key), accepted)}")
    given = {"alpha": alpha, **params} if "alpha" in accepted else params
    try:
        bound = signature.bind(None, None, **given)
    except TypeError as error:
        raise SeediffError(f"Mask step {name!r}: {error}.") from None
    bound.apply_defaults()
    return {key: _checked(name, key, bound.arguments[key]) for key in accepted}


def _checked(step: str, key: str, value: Any) -> Any:
    read, wanted = _VALUES[key]
    try:
        return read(value)
    except (ValueError, TypeError, ArithmeticError, AttributeError):
        raise SeediffError(f"Mask step {step!r}: {key} is {value!r}, but must be {wanted}.") from None


def _share(value: Any) -> float:
    if not 0 <= float(value) <= 1:
        raise ValueError
    return float(value)


def _count(value: Any) -> int:
    if value != int(value) or not 1 <= value <= MOST:
        raise ValueError
    return int(value)


def _fraction(value: Any) -> str:
    """One spelling for each resolution, so that 0.5 and '1/2' are the same run."""
    text = str(value)
    if len(text) > 30 or "e" in text.lower():  # '1e-999999999' would be written out
        raise ValueError
    if not 0 < Fraction(text) <= 1:
        raise ValueError
    return str(Fraction(text))


def _fractions(values: Any) -> list[str]:
    if isinstance(values, str):
        raise TypeError
    return [_fraction(value) for value in values]


def _layers(values: Any) -> dict[str, int]:
    layers = {_fraction(at): _count(number) for at, number in values.items()}
    if not layers or len(layers) < len(values):
        raise ValueError
    return layers


_VALUES: dict[str, tuple[Callable[[Any], Any], str]] = {
    "alpha": (_share, "a number from 0 to 1"),
    "layers": (_layers, "the number of layers by resolution such as {'1/4': 5, '1/2': 5}"),
    "power": (_count, f"a whole number from 1 to {MOST:,}"),
    "resolution": (_fraction, "a fraction of the latents' side such as '1/4', at most '1'"),
    "resolutions": (_fractions, "a list of fractions of the latents' side such as ['1/4', '1/2']"),
}
"""What each parameter of a step may be, whichever step it is."""
