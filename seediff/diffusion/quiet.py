"""Libraries that warn of what does not concern their user here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType


@contextmanager
def errors_only(logging: ModuleType) -> Iterator[None]:
    """``logging``, the ``utils.logging`` of transformers or diffusers, says errors alone inside the with-block."""
    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)
