"""``seediff stage NAME``: one job of a stage, as the workflow calls it.

Its options are the parameters of the stage's ``run``; ``--spec`` is JSON of what the stage's ``spec`` gives.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

from seediff.cli.complaints import Parser
from seediff.cli.options import Flattened, file, files, number_of_processes
from seediff.errors import SeediffError
from seediff.names import nearest

if TYPE_CHECKING:
    from seediff.workflow.stage import Stage


def add_stages(commands: Any) -> None:
    description = "One job of a stage, as the workflow calls it; `seediff stage NAME --help` lists the stage's options."
    stage = commands.add_parser("stage", help=description, description=description)
    stage.add_argument("name", help="such as refine; they are the modules of seediff.workflow.stages")
    stage.add_argument("options", nargs=argparse.REMAINDER)
    stage.set_defaults(run=run_stage)


def run_stage(command: argparse.Namespace) -> int:
    """Run a job, with a GPU for each of its processes where the machine has them."""
    from seediff.workflow.devices import claimed
    from seediff.workflow.stages import STAGES

    if command.name not in STAGES:
        raise SeediffError(f"There is no stage {command.name!r}.\n{nearest(command.name, STAGES)}")
    stage = STAGES[command.name]
    options = vars(_parser(command.name, stage).parse_args(command.options))
    options["spec"] = read_spec(stage, options["spec"])
    record, processes = options.pop("record"), options.pop("processes", 1)
    if "WORLD_SIZE" in os.environ:  # one of several processes, started by the one that has claimed all GPUs
        stage.run(**options)
        return 0
    with _recorded(*record), claimed(processes) if stage.GPUS else nullcontext():
        if processes > 1:
            launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
            _call([*launch, str(processes), "-m", "seediff.cli", *command.arguments])
        else:
            stage.run(**options)
    return 0


def _call(command: Sequence[str]) -> None:
    """Leave with the command's exit code if it fails; it has said why."""
    if code := subprocess.run(command).returncode:
        sys.exit(code)


def _recorded(digest: str = "", *files: str) -> AbstractContextManager[None]:
    """Nothing is recorded of jobs that the workflow has not planned."""
    from seediff.workflow.records import recorded

    return recorded(digest, [*map(Path, files)]) if files else nullcontext()


def _parser(name: str, stage: Stage) -> argparse.ArgumentParser:
    parser = Parser(prog=f"seediff stage {name}", description=stage.run.__doc__)
    for parameter, hint in _parameters(stage).items():
        parser.add_argument(f"--{parameter.replace('_', '-')}", **_OPTIONS.get(hint, _SPEC))
    about = "the job's digest and its files: what is recorded once they are made"
    parser.add_argument("--record", nargs="+", default=[], metavar=("DIGEST", "FILE"), help=about)
    if stage.GPUS > 1:
        about = "that share every batch, a GPU each"
        parser.add_argument("--processes", type=number_of_processes, default=1, help=about)
    return parser


def _parameters(stage: Stage) -> dict[str, Any]:
    """Annotation by name, of the stage's ``run``."""
    hints = get_type_hints(stage.run, include_extras=True)
    return {name: hints[name] for name in signature(stage.run).parameters}


_SPEC: dict[str, Any] = {"required": True, "help": "what the job is told, as JSON"}
_OPTIONS: dict[Any, dict[str, Any]] = {
    Path: {"type": file, "required": True},
    Path | None: {"type": file, "nargs": "?"},
    Sequence[Path]: {"type": files, "nargs": "*", "default": [], "action": Flattened},
    int: {"type": int, "required": True},
    str: {"required": True},
}
"""How a parameter is given, by its annotation."""


def read_spec(stage: Stage, text: str) -> Any:
    """The spec of one of the stage's jobs, given as JSON; ``SeediffError`` if it is not what the stage needs."""
    from pydantic import TypeAdapter, ValidationError

    from seediff.workflow.study.load import explain

    kind = _parameters(stage)["spec"]
    try:
        return TypeAdapter(kind).validate_json(text, strict=True)
    except ValidationError as error:
        raise SeediffError(f"--spec: {explain(error, kind)}") from None
