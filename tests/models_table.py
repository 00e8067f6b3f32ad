"""The table of docs/models.md, from what was recorded in tiny pipelines. ``python -m tests.models_table`` writes it."""

from __future__ import annotations

from functools import cache

from seediff.attention.families import family_of
from seediff.attention.maps import resolutions
from seediff.attention.recording import denoiser_of
from seediff.masks.variants import fitted
from tests.attention_oracle import Drawn, draw
from tests.conftest import ROOT
from tests.tiny_pipelines import CALLS, FAMILIES

PAGE = ROOT / "docs" / "models.md"
BEGIN, END = "<!-- table: python -m tests.models_table -->", "<!-- end of the table -->"
HEAD = (
    "| family | pipeline | denoiser | attention | resolutions | guidance | `seediff`: seeds; expansions | error |",
    "|---|---|---|---|---|---|---|---|",
)
MODELS = {"stable_diffusion": " 1, 2", "stable_diffusion_xl": " XL", "ssd": " XL, layers cut out (SSD-1B)"}


def row(drawn: Drawn) -> list[str]:
    """What the table says of a family, the largest difference to the oracle last."""
    denoiser = denoiser_of(drawn.pipe)
    family = family_of(denoiser)
    kinds = sorted({*family.layers_of(denoiser).values()}, reverse=True)
    recorded = ", ".join(map(str, sorted(resolutions(drawn.maps), reverse=True)))
    calls = len(drawn.found.calls) // CALLS[drawn.name]["num_inference_steps"]
    (_, seeds), *rounds = fitted("seediff", drawn.maps)
    expanded = ", ".join(params["resolution"] for step, params in rounds if step == "expand")
    return [
        family.name + MODELS.get(drawn.name, ""),
        f"`{type(drawn.pipe).__name__}`",
        f"`{type(denoiser).__name__}`",
        " and ".join(kinds),
        recorded,
        "one call" if calls == 1 else "two calls",
        f"{seeds['resolution']}; {expanded}",
        f"{drawn.error:.0e}",
    ]


@cache
def _lines() -> tuple[str, ...]:
    _, _, after = PAGE.read_text().partition(BEGIN)
    table, _, _ = after.partition(END)
    return tuple(line for line in table.strip().splitlines()[len(HEAD) :])


def printed(name: str) -> list[str]:
    """The family's row on the page."""
    line = _lines()[[*FAMILIES].index(name)]
    return [cell.strip() for cell in line.strip("|").split("|")]


def main() -> None:
    rows = [f"| {' | '.join(row(draw(name)))} |" for name in FAMILIES]
    before, _, after = PAGE.read_text().partition(BEGIN)
    _, _, after = after.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n{chr(10).join([*HEAD, *rows])}\n{END}{after}")


if __name__ == "__main__":
    main()
