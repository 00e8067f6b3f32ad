"""Where a model's files are, and which of them are read: no torch here.

A model is named by a reference: a folder, or an id of the Hugging Face hub, as it is or with ``@`` and a revision
behind it. A commit, the longest of revisions, names the same files for ever.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from socket import gaierror

from seediff.errors import SeediffError
from seediff.names import reason

PARTS = ("scheduler", "text_encoder", "tokenizer", "unet", "vae")
"""Those of a Stable Diffusion pipeline, each in a folder of its own. Other pipelines have others."""
UNUSED = ("feature_extractor", "image_encoder", "safety_checker")
"""Parts that drawing from a prompt needs none of: they are not opened."""
INDEX = "model_index.json"
EMBEDDED = "pictograms"
"""The name of the small model that comes with seediff. A folder of that name is written ``./pictograms``."""

_CONFIGURATION = (".json", ".txt", ".model", ".jinja")
_SHARD = r"(-\d{5}-of-\d{5})?"
_WEIGHTS = rf"[A-Za-z_]+{_SHARD}\.safetensors"
"""Not those in another precision, whose name they have before the suffix: read only if it is asked for."""
_HUB_ID = re.compile(r"(\b[\w.-]+\b/)?\b[\w.-]{1,96}\b(@[\w./-]+)?")
"""As the hub has it: no part begins or ends with a dash or a dot."""
_COMMIT = re.compile(r"[0-9a-f]{40}")


def embedded_folder() -> Path:
    """The folder of the embedded model: in the installed package, or in the checkout around the package.

    Raises ``SeediffError`` where neither has it.
    """
    package = Path(__file__).parents[1]
    for folder in (package / "assets" / EMBEDDED, package.parent / "assets" / EMBEDDED):
        if (folder / INDEX).is_file():
            return folder
    raise SeediffError(
        f"The model {EMBEDDED!r} is missing from this installation of seediff.\n"
        "Install seediff again with pip, or give another model."
    )


def named_model(model: str | Path) -> str | Path:
    """The reference of a model, with the embedded model's name replaced by its folder."""
    return embedded_folder() if model == EMBEDDED else model


def is_local(model: str | Path) -> bool:
    """Whether it is a file or folder of this machine, there or not, and no id of the hub (``owner/name``, ``name``)."""
    text = str(model)
    parts = Path(text.partition("@")[0]).parts
    looks_local = text.startswith((".", "/", "~", "assets/")) or text.endswith(".safetensors") or len(parts) > 2
    return (
        isinstance(model, Path)
        or model == EMBEDDED
        or looks_local
        or os.path.exists(text)
        or (len(parts) == 2 and os.path.isdir(parts[0]))
    )


def is_checkpoint(model: str | Path) -> bool:
    """Whether it is a file: a whole pipeline in a single one, as other programs write it."""
    return is_local(model) and Path(model).is_file()


def is_hub_id(model: str) -> bool:
    return not is_local(model) and _HUB_ID.fullmatch(model) is not None


def split_reference(model: str | Path) -> tuple[str, str | None]:
    """The folder or id by itself, and the revision if there is one."""
    if is_local(model) or "@" not in str(model):
        return str(model), None
    name, _, revision = str(model).partition("@")
    return name, revision


def reference(name: str, revision: str | None) -> str:
    """The id with its revision behind it, if there is one."""
    return f"{name}@{revision}" if revision else name


def names_commit(model: str) -> bool:
    return _COMMIT.fullmatch(split_reference(model)[1] or "") is not None


def hub_commit(model: str) -> str | None:
    """The commit that a hub id with its revision stands for: in this machine's cache, else on the hub, else None.

    The cache goes first, so that a model does not change under a study because its page was edited.
    """
    if names_commit(model):
        return split_reference(model)[1]
    cached = local_folder(model)
    return cached.name if cached else _ask_hub(*split_reference(model))


def _ask_hub(name: str, revision: str | None) -> str | None:
    from huggingface_hub import HfApi

    try:
        return HfApi().model_info(name, revision=revision, timeout=10).sha
    except Exception:  # no network, no such id, or one that is not for everybody: a dozen different types
        return None


def local_folder(model: str | Path) -> Path | None:
    """The folder or checkpoint itself, or where the hub's files of that id and revision lie on this machine; None if
    nowhere."""
    model = named_model(model)
    if Path(model).is_dir() or is_checkpoint(model):
        return Path(model)
    if not is_hub_id(str(model)):
        return None
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    name, revision = split_reference(model)
    try:
        return Path(snapshot_download(name, revision=revision, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError):
        return None


def pipeline_files(folder: Path, variant: str | None = None) -> list[Path]:
    """Every file of a pipeline that is read: its index, and each part's configuration, words and weights; of a
    checkpoint, which is a single file, that file. ``variant``: the precision in the names of weights, such as 'fp16'.
    """
    if folder.is_file():
        return [folder]
    files = [folder / INDEX, *(path for part in _parts(folder) for path in network_files(folder / part, variant))]
    return [path for path in files if path.is_file()]


def _parts(folder: Path) -> list[str]:
    """The names of a pipeline's parts that are read: those of its index, and of Stable Diffusion in any case."""
    try:
        index = json.loads((folder / INDEX).read_bytes())
        listed = [name for name, origin in index.items() if isinstance(origin, list) and name.isidentifier()]
    except (OSError, ValueError, AttributeError, RecursionError):
        listed = []
    return sorted({*PARTS, *listed} - {*UNUSED})


def network_files(path: Path, variant: str | None = None) -> list[Path]:
    """Every file that is read of a network: its configuration, words and weights; of a single file, that file.

    Weights are those of the ``variant`` where there are any. Nothing for what is not there, as a hub id.
    """
    if path.is_file():
        return [path]
    files = [file for file in path.glob("*") if file.is_file()]
    of_variant = _named(files, rf"[A-Za-z_]+{_SHARD}\.{re.escape(variant)}{_SHARD}\.safetensors") if variant else []
    weights = of_variant or _named(files, _WEIGHTS)
    return sorted([*(file for file in files if file.suffix in _CONFIGURATION), *weights])


def _named(files: Iterable[Path], pattern: str) -> list[Path]:
    return [file for file in files if re.fullmatch(pattern, file.name)]


def weight_files(folder: Path, variant: str | None = None) -> list[Path]:
    """The weights among a pipeline's files."""
    return [path for path in pipeline_files(folder, variant) if path.suffix == ".safetensors"]


def weights_checksum(folder: Path) -> str | None:
    """One sha256 over the weights of a pipeline folder's parts, in path order; None where there are none."""
    return _checksum(folder, weight_files(folder))


def named_weights(model: str) -> dict[str, str | None]:
    """The model as it was named, and the sha256 of its weights, None where they are not on this machine."""
    folder = local_folder(model)
    return {"name": model, "sha256": weights_checksum(folder) if folder else None}


def identity(model: str | Path, adapter: Path | None = None, variant: str | None = None) -> dict[str, str]:
    """What tells a pipeline from any other, wherever it lies: sha256 of ``weights``, ``configuration``, ``adapter``.

    ``adapter``: its file; ``variant``: as in ``pipeline_files``. Raises ``SeediffError`` for a model that is not on
    this machine, or without its weights: of a hub id, the index may be here alone.
    """
    folder = local_folder(model)
    if folder is None:
        raise SeediffError(
            f"There is no model {model} on this machine.\nGive a diffusers pipeline folder or a model id."
        )
    weights = weight_files(folder, variant)
    if not weights:
        raise SeediffError(
            f"The model {model} has no weights in safetensors on this machine.\n"
            "Download all of it, or give another model."
        )
    others = [path for path in pipeline_files(folder, variant) if path not in weights]
    found = {kind: _checksum(folder, files) for kind, files in {"weights": weights, "configuration": others}.items()}
    found |= {"adapter": _checksum(adapter.parent, [adapter])} if adapter else {}
    return {kind: checksum for kind, checksum in found.items() if checksum}


def differences(model: Mapping[str, str], other: Mapping[str, str]) -> list[str]:
    """The kinds of files that two models' checksums (``identity``) tell apart."""
    return sorted(kind for kind in {*model, *other} if model.get(kind) != other.get(kind))


def _checksum(folder: Path, files: Iterable[Path]) -> str | None:
    """Over names below the folder and contents, in path order: about a second for each gigabyte."""
    digest, ordered = hashlib.sha256(), sorted(files)
    for path in ordered:
        digest.update(str(path.relative_to(folder)).encode(errors="surrogateescape"))
        with path.open("rb") as file:
            while block := file.read(2**24):
                digest.update(block)
    return digest.hexdigest() if ordered else None


def not_loaded(problem: str, model: str | Path, error: Exception, advice: str) -> SeediffError:
    """The ``problem``, why there is one, and what to do: the ``advice``, unless it is that the hub is out of reach."""
    if not is_local(model) and _is_out_of_reach(error):
        return SeediffError(
            f"{problem}: it is not whole on this machine, and the Hugging Face hub cannot be reached: there is no "
            "network, or HF_HUB_OFFLINE is set.\nGive a local folder, or load it once where there is a network."
        )
    return SeediffError(f"{problem}: {reason(error)}\n{advice}")


def _is_out_of_reach(error: BaseException) -> bool:
    from huggingface_hub import constants

    unreachable = gaierror, ConnectionError, TimeoutError
    return constants.HF_HUB_OFFLINE or any(isinstance(cause, unreachable) for cause in _chain(error))


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what it came from."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
