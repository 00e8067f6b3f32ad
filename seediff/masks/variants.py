"""Variants: named lists of mask steps that read aloud, checked and run.

A list may begin with what is recorded, ``record`` or ``look_again`` (``attention.calls``); without it, the attention of
all timesteps is. The name of a variant in a list stands for its steps:
``[("record", {"timesteps": "late"}), "seediff"]``.

Nothing here imports torch before a step runs: studies are checked while the job graph is built.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import log2
from typing import TYPE_CHECKING, Any

from seediff.attention.calls import ALL, KINDS, Calls, read_calls, write_calls
from seediff.errors import SeediffError
from seediff.finite import check_finite
from seediff.masks.steps import PARAMETERS, SOURCES, STEPS, resize
from seediff.names import nearest

if TYPE_CHECKING:
    from torch import Tensor

    from seediff.attention.maps import AttentionMaps, ClassMaps, Size

Step = tuple[str, dict[str, Any]]
"""A step's name and its parameters."""
Steps = tuple[Step, ...]

ALPHA = 0.5
"""The paper's threshold for seeds."""

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
    "look": (
        ("look_again", {"timestep": 150}),
        ("cross_attention", {"resolution": "1/2"}),
        ("compete", {"resolution": "1/2"}),
        ("propagate", {"resolution": "1", "power": 1}),
    ),
    "released_code": (
        ("cross_attention", {"resolution": "1/4"}),
        ("expand_similar", {"resolution": "1/4"}),
        ("suppress_background", {"resolution": "1/2"}),
        ("suppress_background", {"resolution": "1"}),
    ),
}
"""Table 2: caa, cre, ire, seediff. Table 4: ca_16, ca_32, ca_64. Table 5: caa, ca_sa, seediff.

ca_8 is what DiffuMask uses for a few classes. The layers of attn2mask are those of Stable Diffusion's UNet. ``look`` is
from no paper: it is the best of those that the study ``masks`` compares."""


OF_ONE_RESOLUTION = ("ca_8", "ca_16", "ca_32", "ca_64")


def named_steps(variant: str | Sequence[Any]) -> Steps:
    """The steps of a variant in ``VARIANTS``, or custom steps, given as (name, parameters) or as in a study."""
    if not isinstance(variant, str):
        return _custom_steps(variant)
    if variant not in VARIANTS:
        raise SeediffError(f"There is no variant {variant!r}.\n{nearest(variant, VARIANTS)}")
    return VARIANTS[variant]


def fitted(variant: str | Sequence[Any], maps: AttentionMaps) -> Steps:
    """The steps of a variant for the resolutions that were recorded; custom steps are as they were written.

    A named variant is a method, in a list too: where a model has no attention at a resolution, the nearest takes its
    place, and a round that would only repeat the one before it is left out. With SDXL, ``seediff`` takes seeds at 1/4
    and expands them at 1/4 and 1/2; with a transformer, which has one resolution, everything is there. ``attn2mask``
    counts the layers that the model has. Variants named after a resolution (``ca_16``) need it.
    """
    if isinstance(variant, str):
        return _fitted(variant, named_steps(variant), maps)
    return _custom_steps(variant, maps)


def _fitted(variant: str, steps: Steps, maps: AttentionMaps) -> Steps:
    from seediff.attention.maps import resolutions

    if variant in OF_ONE_RESOLUTION:
        return steps
    recorded = resolutions(maps)
    adapted = [
        (name, {key: _fit(key, value, recorded, maps) for key, value in params.items()}) for name, params in steps
    ]
    return tuple(step for step, before in zip(adapted, [None, *adapted], strict=False) if step != before)


def _fit(key: str, value: Any, recorded: Mapping[Fraction, Size], maps: AttentionMaps) -> Any:
    if key == "layers" and maps.layers:
        return {str(at): maps.layers[size] for at, size in recorded.items()}
    if key != "resolution" or not recorded:
        return value
    return str(min(recorded, key=lambda at: abs(log2(at / Fraction(value)))))


def _custom_steps(written: Any, maps: AttentionMaps | None = None) -> Steps:
    """Variants that a list names are fitted to ``maps``, if these are given."""
    entries = written if isinstance(written, (list, tuple)) else [written]
    steps = tuple(step for entry in entries for step in _steps(entry, maps))
    for step in steps:
        if not isinstance(step, (list, tuple)) or len(step) != 2 or not isinstance(step[1], Mapping):
            raise SeediffError(
                f"{step!r} is not a mask step with its parameters.\n"
                "Write a variant as [('cross_attention', {'resolution': '1/4'}), ...]."
            )
    return tuple((name, dict(params)) for name, params in steps)


def _steps(entry: Any, maps: AttentionMaps | None) -> Sequence[Any]:
    """What an entry of a list stands for: a variant for its steps, a mapping for steps with their parameters."""
    if isinstance(entry, str):
        steps = VARIANTS.get(entry)
        if steps is None:
            return ((entry, {}),)
        return steps if maps is None else _fitted(entry, steps, maps)
    return [*entry.items()] if isinstance(entry, Mapping) else [entry]


def calls_of(steps: Sequence[Sequence[Any]]) -> Calls:
    """The calls of the UNet that resolved steps are made from."""
    name, params = steps[0]
    return read_calls(name, params) if name in KINDS else ALL


def recordings_of(variants: Mapping[str, Sequence[Sequence[Any]]]) -> list[Calls]:
    """What has to be recorded for variants, by their resolved steps: everything once."""
    return list(dict.fromkeys(map(calls_of, variants.values())))


def mask_steps(steps: Sequence[Sequence[Any]]) -> Sequence[Sequence[Any]]:
    """Resolved steps without what they are made from."""
    return steps[steps[0][0] in KINDS :]


def scores_by_step(steps: Sequence[Sequence[Any]], maps: ClassMaps) -> list[Tensor]:
    """The score after each of the resolved steps: (h, w) float32 in [0, 1], of the step's own size.

    Raises ``SeediffError`` for maps of other calls of the UNet than the steps are made from, and ``NotFiniteError`` for
    the first step whose score is not finite.
    """
    if (wanted := calls_of(steps)) != maps.calls:
        raise SeediffError(
            f"The variant is made from {wanted}, but these maps are of {maps.calls}.\n"
            "Record what it is made from, or begin it with what was recorded."
        )
    scores: list[Any] = [None]
    for name, params in mask_steps(steps):
        score = STEPS[name](scores[-1], maps, **params)
        check_finite(score[None], f"the score after mask step {name!r}", "Record the attention again.")
        scores.append(score)
    return scores[1:]


def apply(steps: Sequence[Sequence[Any]], maps: ClassMaps) -> Tensor:
    """Run resolved steps: the score at the latents' size, (height, width) float32 in [0, 1]."""
    return resize(scores_by_step(steps, maps)[-1], maps.latent_size).clamp(0, 1)


def resolve(steps: Sequence[Step], *, alpha: float = ALPHA) -> Steps:
    """The steps with every parameter explicit, ready for JSON; ``alpha`` is used where a step takes it but has none.

    ``SeediffError`` for a step or parameter that does not exist, is missing, or has an invalid value.
    """
    calls, *others = steps if steps and steps[0][0] in KINDS else (write_calls(ALL), *steps)
    if not others:
        raise SeediffError(f"A variant needs at least one mask step. Start with one of {', '.join(SOURCES)}.")
    resolved = tuple((name, _explicit(name, params, alpha)) for name, params in others)
    for position, (name, _) in enumerate(resolved):
        if (name in SOURCES) != (position == 0):
            raise SeediffError(
                f"Mask step {name!r} cannot be number {position + 1} of a variant.\n"
                f"The first step, and only the first, must be one of {', '.join(SOURCES)}."
            )
    recorded = read_calls(*calls)
    return resolved if recorded == ALL else (write_calls(recorded), *resolved)


def _explicit(name: str, params: Mapping[str, Any], alpha: float) -> dict[str, Any]:
    if name in KINDS:
        raise SeediffError(f"{name!r} says what is recorded, so it must be the first of a variant's steps.")
    if name not in STEPS:
        raise SeediffError(f"There is no mask step {name!r}.\n{nearest(name, STEPS)}")
    signature = inspect.signature(STEPS[name])
    accepted = [key for key, parameter in signature.parameters.items() if parameter.kind is parameter.KEYWORD_ONLY]
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
    read, wanted = PARAMETERS[key]
    try:
        return read(value)
    except (ValueError, TypeError, ArithmeticError, AttributeError):
        raise SeediffError(f"Mask step {step!r}: {key} is {value!r}, but must be {wanted}.") from None
