"""Beside attention-map-diffusers (1.0.0), the recorder of such pipelines that a user would find first.

    pip install --no-deps --target PEER attention-map-diffusers==1.0.0
    PYTHONPATH=PEER:. python -m benchmarks.peers.attention_map_diffusers

Both record all layers and timesteps of the tiny pipelines of ``tests.tiny_pipelines``: attention of image positions to
text and to the image. What the peer captures of the images' own rows, which it leaves to its user to find, is averaged
as ours is (Eq. 5). Both are held against the same softmax in float64. Kept: what is held of one image when a call of
the pipeline ends.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from seediff.attention.recording import record_attention
from tests.attention_oracle import PROMPTS, SEQUENCES, Maps, expected, oracle
from tests.tiny_pipelines import FAMILIES, call

KINDS = {"image->text": "cross", "image->image": "self"}
ROUNDS = 3


def capture(name: str, pipe: Any) -> Any:
    from attention_map_diffusers import AttentionCapture

    with AttentionCapture(pipe, relations=[*KINDS], timesteps="all", offload=None) as captured:
        call(name, pipe, PROMPTS[0])
    return captured


def averaged(name: str, captured: Any) -> Maps:
    """The peer's maps of the images' own rows, each divided by its maximum; their mean by kind and positions."""
    layers, calls, rows = defaultdict(list), Counter[tuple[str, str]](), SEQUENCES[name].rows
    for record in captured.compute().records:
        number = calls[record.layer_id, record.relation]
        calls[record.layer_id, record.relation] += 1
        if rows == "call" and number % 2:
            continue
        own = record.data.flatten(0, 1)[-1 if rows == "last" else 0].double()
        layers[KINDS[record.relation], len(own)].append(own / own.max())
    return {kind: torch.stack(found).mean(0) for kind, found in layers.items()}


def ours(name: str, pipe: Any) -> Any:
    with record_attention(pipe) as recording:
        call(name, pipe, PROMPTS[0])
    return recording


def largest_error(maps: Maps, truth: Maps) -> str:
    if {kind: found.shape for kind, found in maps.items()} != {kind: found.shape for kind, found in truth.items()}:
        return "other positions"
    return f"{max(float((maps[kind] - theirs).abs().max()) for kind, theirs in truth.items()):.0e}"


def kibibytes(tensors: Iterable[Any]) -> str:
    return f"{sum(tensor.nbytes for tensor in tensors if isinstance(tensor, Tensor)) / 1024:.0f}"


def quickest(way: Callable[[], Any]) -> float:
    taken = []
    for _ in range(ROUNDS):
        clock = time.perf_counter()
        way()
        taken.append(time.perf_counter() - clock)
    return min(taken)


def compared(name: str, pipe: Any) -> list[str]:
    with oracle(pipe) as found:
        recording = ours(name, pipe)
    (maps,) = recording.maps
    truth = expected(found, SEQUENCES[name], 0, 1, maps)
    own: Maps = {("cross", h * w): ours for (h, w), ours in maps.cross_attention.items()}
    own |= {("self", h * w): ours for (h, w), ours in maps.self_attention.items()}
    plain = quickest(lambda: call(name, pipe, PROMPTS[0]))
    ratio = quickest(lambda: ours(name, pipe).maps) / plain
    row = [name, largest_error(own, truth), f"{ratio:.2f}", kibibytes(own.values())]
    try:
        captured = capture(name, pipe)
    except RuntimeError as error:
        return [*row, "refused" if "unsupported" in str(error) else str(error), "", ""]
    kept = [part for record in captured.records for part in (record.q, record.k, record.attention_mask, record.data)]
    theirs = quickest(lambda: averaged(name, capture(name, pipe))) / plain
    return [*row, largest_error(averaged(name, captured), truth), f"{theirs:.2f}", kibibytes(kept)]


def main() -> None:
    print("| | ours: error | time | KiB kept | attention-map-diffusers: error | time | KiB kept |")
    print("|---|---|---|---|---|---|---|")
    for name, build in FAMILIES.items():
        print(f"| {' | '.join(compared(name, build()))} |", flush=True)


if __name__ == "__main__":
    main()
