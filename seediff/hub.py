"""Models by the id that they have on the Hugging Face hub: what is said when one of them cannot be loaded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from socket import gaierror

from seediff.errors import SeediffError
from seediff.names import reason


def not_loaded(problem: str, model: str | Path, error: Exception, advice: str) -> SeediffError:
    """The ``problem``, why there is one, and what to do: the ``advice``, unless it is that the hub is out of reach."""
    if not Path(model).exists() and _is_out_of_reach(error):
        return SeediffError(
            f"{problem}: it is not whole on this machine, and the Hugging Face hub cannot be reached: there is no "
            "network, or HF_HUB_OFFLINE is set.\nGive a local folder, or load it once where there is a network."
        )
    return SeediffError(f"{problem}: {reason(error)}\n{advice}")


def _is_out_of_reach(error: BaseException) -> bool:
    from huggingface_hub import is_offline_mode

    return is_offline_mode() or any(isinstance(one, (gaierror, ConnectionError, TimeoutError)) for one in _chain(error))


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what it came from."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
