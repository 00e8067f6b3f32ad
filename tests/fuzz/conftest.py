"""Seals tell accidents; whoever means harm can compute them. So whatever a file holds is tried as if it were sealed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module", autouse=True)
def sealed_whatever_it_holds() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for module in ("seediff.files.sealed", "seediff.training.checkpoint"):
            patch.setattr(f"{module}.check_seal", lambda *_: None)
        yield
