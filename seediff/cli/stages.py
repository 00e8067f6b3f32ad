"""``seediff stage NAME``: one job of a stage, as the workflow calls it.

Its options are the parameters of the stage's ``run``; ``--spec`` is JSON of what the stage's ``spec`` gives.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

from seediff.cli.complaints import Parser
from seediff.cli.options import Flattened, file, files, number_of_processes
from seediff.errors import SeediffError
from seediff.names import nearest
from seediff.workflow.devices import claimed

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
    from seediff.workflow.stages import STAGES

    if command.name not in STAGES:
        raise SeediffError(f"There is no stage {command.name!r}.\n{nearest(command.name, STAGES)}")
    stage = STAGES[command.name]
    options = vars(_parser(command.name, stage).parse_args(command.options))
    processes = options.pop("processes", 1)
    options["spec"] = read_spec(stage, options["spec"])
    started = "WORLD_SIZE" in os.environ  # by a process that has claimed the GPUs of all
    with claimed(processes) if stage.GPUS and not started else nullcontext():
        if processes > 1 and not started:
            launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
            return subprocess.run([*launch, str(processes), "-m", "seediff.cli", *command.arguments]).returncode
        stage.run(**options)
    return 0


def _parser(name: str, stage: Stage) -> argparse.ArgumentParser:
    parser = Parser(prog=f"seediff stage {name}", description=stage.run.__doc__)
    for parameter, hint in _parameters(stage).items():
        parser.add_argument(f"--{parameter.replace('_', '-')}", **_OPTIONS.get(hint, _SPEC))
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
