"""Where SLURM's own programs are, behind those of this folder that go by the same names."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def real(name: str) -> str:
    """The program of that name in the folders of PATH other than this one."""
    here = Path(__file__).resolve().parent
    folders = [folder for folder in os.get_exec_path() if Path(folder).resolve() != here]
    return shutil.which(name, path=os.pathsep.join(folders)) or f"/usr/bin/{name}"
