"""Build `.venv` from requirements.lock and pyproject.toml; `make setup` calls this.

    python3 environment.py

If `.venv` is up to date, nothing happens and no package index is asked. Its `built-from.json` says what it was built
from: the contents of the files, not their time stamps, and the folder, because the programs in `.venv/bin` and the
project's own entry name it. In a copied folder they would run the code of the original.

An environment is never repaired: it is built again, and `built-from.json` is written last. If the build fails or is
killed, the former environment is put back.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
import subprocess
import sys
import tomllib
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parent
ENVIRONMENT = ROOT / ".venv"
FORMER = ROOT / ".venv.former"
LOCK = ROOT / ".venv.lock"
REQUIREMENTS = ROOT / "requirements.lock"
ORIGIN = "built-from.json"


def main() -> None:
    wanted = origin_wanted()
    with locked() as lock:
        if origin_of(ENVIRONMENT) is None and origin_of(FORMER) is not None:
            replace(FORMER, ENVIRONMENT)  # the last call was killed
        if origin_of(ENVIRONMENT) != wanted:
            rebuild(wanted, lock)
        discard(FORMER)


def origin_wanted() -> dict[str, str]:
    """What this Python would build an environment from: of pyproject.toml, only what an installation reads."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    read = [project["build-system"], project["project"], project.get("tool", {}).get("hatch")]
    return {
        "folder": str(ROOT),
        "python": f"{sys.version_info.major}.{sys.version_info.minor}",
        "requirements.lock": hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest(),
        "pyproject.toml": hashlib.sha256(json.dumps(read, sort_keys=True).encode()).hexdigest(),
    }


def origin_of(environment: Path) -> dict[str, str] | None:
    """What it was built from; None if it is missing or incomplete, or was copied from another folder."""
    try:
        origin = json.loads((environment / ORIGIN).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return origin if origin.get("folder") == str(ROOT) else None


@contextmanager
def locked() -> Iterator[IO[str]]:
    """One call at a time; the others wait. Programs that inherit the file keep the lock if this process is killed."""
    with LOCK.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("Waiting for another `make setup` in this folder.", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError as error:  # some shared disks have no locks
            print(f"{LOCK.name}: {error.strerror}. Do not call `make setup` twice at once.", file=sys.stderr)
        yield lock


def rebuild(wanted: dict[str, str], lock: IO[str]) -> None:
    """Build the environment; if that fails, put the former one back."""
    if origin_of(ENVIRONMENT) is not None:
        replace(ENVIRONMENT, FORMER)
    discard(ENVIRONMENT)
    try:
        build(lock)
        mark(wanted)
    except BaseException:
        discard(ENVIRONMENT)
        if origin_of(FORMER) is not None:
            replace(FORMER, ENVIRONMENT)
        raise


def build(lock: IO[str]) -> None:
    """Install torch first and by itself, so that the lock's other packages are resolved against the build found."""
    if find_spec("ensurepip") is None:
        sys.exit("error: This Python cannot make virtual environments.\nOn Debian and Ubuntu: apt install python3-venv")
    print(f"Building {ENVIRONMENT.name} from {REQUIREMENTS.name}.", flush=True)
    venv.create(ENVIRONMENT, symlinks=True)
    run(lock, "ensurepip", "--default-pip")
    torch = next(line for line in REQUIREMENTS.read_text(encoding="utf-8").splitlines() if line.startswith("torch=="))
    run(lock, "pip", "install", "--quiet", torch)
    run(lock, "pip", "install", "--quiet", "--requirement", str(REQUIREMENTS))
    run(lock, "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--editable", str(ROOT))


def run(lock: IO[str], module: str, *arguments: str) -> None:
    """Run a module with the environment's own Python. It holds the lock too, because it may outlive this process."""
    command = [str(ENVIRONMENT / "bin" / "python"), "-m", module, *arguments]
    code = subprocess.run(command, stdout=subprocess.DEVNULL, pass_fds=[lock.fileno()]).returncode
    if code:
        sys.exit(f"error: The environment could not be built: {module} ended with {code}; see its message above.")


def mark(origin: dict[str, str]) -> None:
    unfinished = ENVIRONMENT / f"{ORIGIN}.partial"
    unfinished.write_text(json.dumps(origin, indent=1) + "\n", encoding="utf-8")
    unfinished.rename(ENVIRONMENT / ORIGIN)


def replace(folder: Path, other: Path) -> None:
    discard(other)
    folder.rename(other)


def discard(environment: Path) -> None:
    """Delete it, its mark first, so that a half deleted environment does not pass for complete."""
    if environment.is_symlink():
        environment.unlink()
    elif environment.exists():
        (environment / ORIGIN).unlink(missing_ok=True)
        shutil.rmtree(environment)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("error: Interrupted. `make setup` starts again.")
