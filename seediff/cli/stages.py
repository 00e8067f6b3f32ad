"""``seediff stage NAME``: one job of a stage, as the workflow calls it.

Its options are the parameters of the stage's ``run``; ``--spec`` is JSON of what the stage's ``spec`` gives.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from inspect import Parameter, Signature, signature
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer
from typer.core import TyperCommand, TyperGroup

from seediff.cli.options import file, files
from seediff.errors import SeediffError

if TYPE_CHECKING:
    from seediff.workflow.stage import Stage

MOST_PROCESSES = 64
"""A limit, because processes are started even without GPUs."""


class Stages(TyperGroup):
    """Run one job of a stage, as the workflow does."""

    def list_commands(self, ctx: Any) -> list[str]:
        self._load()
        return super().list_commands(ctx)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        self._load()
        return super().get_command(ctx, cmd_name)

    def _load(self) -> None:
        """Load the stages late: they import pydantic, and the help of the program should not wait for that."""
        from seediff.workflow.stages import STAGES

        if not self.commands:
            app = typer.Typer(rich_markup_mode=None)
            for name, stage in STAGES.items():
                app.command(name, cls=_StageCommand)(_command(stage))
            self.commands.update(typer.main.get_group(app).commands)


class _StageCommand(TyperCommand):
    """Takes any number of values after an option that is a list: ``--images a.tar b.tar``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        lists = {option for parameter in self.params if parameter.multiple for option in parameter.opts}
        return super().parse_args(ctx, [*_repeated(args, lists)])


def _repeated(arguments: Sequence[str], lists: set[str]) -> Iterator[str]:
    """The arguments with the name of a list before each of its values."""
    option = ""
    for argument in arguments:
        if argument.startswith("--"):
            option = argument
        elif option in lists:
            yield option
        if argument not in lists:
            yield argument


def _command(stage: Stage) -> Callable[..., int]:
    """A function with the options of the stage's jobs as parameters, which runs one."""

    def command(context: typer.Context, **options: Any) -> int:
        return _run(stage, context.obj, options)

    command.__doc__ = stage.run.__doc__
    parameters = [Parameter("context", Parameter.KEYWORD_ONLY, annotation=typer.Context), *_options(stage)]
    command.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return command


_PATH = typer.Option(parser=file, metavar="PATH")
_PATHS = typer.Option(parser=files, metavar="PATH...")
_OPTIONS: dict[Any, tuple[Any, Any]] = {
    Path: (Annotated[Path, _PATH], Parameter.empty),
    Path | None: (Annotated[list[Path], _PATH], []),
    Sequence[Path]: (Annotated[list[Path], _PATHS], []),
    int: (Annotated[int, typer.Option()], Parameter.empty),
    str: (Annotated[str, typer.Option()], Parameter.empty),
}
"""Annotation of a parameter -> the option's type, and its default."""


def _options(stage: Stage) -> Iterator[Parameter]:
    spec = Annotated[str, typer.Option(help="what the job is told, as JSON")], Parameter.empty
    for name, hint in _parameters(stage).items():
        annotation, default = _OPTIONS.get(hint, spec)
        yield Parameter(name, Parameter.KEYWORD_ONLY, annotation=annotation, default=default)
    about = "the job's digest and its files, to be recorded once they are made"
    record = Annotated[list[str], typer.Option(metavar="DIGEST FILE...", help=about)]
    yield Parameter("record", Parameter.KEYWORD_ONLY, annotation=record, default=[])
    if stage.GPUS > 1:
        about = "processes that share every batch, with a GPU each"
        processes = Annotated[int, typer.Option(min=1, max=MOST_PROCESSES, help=about)]
        yield Parameter("processes", Parameter.KEYWORD_ONLY, annotation=processes, default=1)


def _parameters(stage: Stage) -> dict[str, Any]:
    """The annotations of the stage's ``run``, by parameter."""
    hints = get_type_hints(stage.run, include_extras=True)
    return {name: hints[name] for name in signature(stage.run).parameters}


def _run(stage: Stage, arguments: Sequence[str], options: dict[str, Any]) -> int:
    """Run a job, with a GPU for each of its processes where the machine has them."""
    from seediff.devices import claimed

    record, processes = options.pop("record"), options.pop("processes", 1)
    for name, hint in _parameters(stage).items():
        if hint == Sequence[Path]:
            options[name] = [*chain.from_iterable(options[name])]
        if hint == Path | None:
            options[name] = next(iter(options[name]), None)
    options["spec"] = read_spec(stage, options["spec"])
    if "WORLD_SIZE" in os.environ:  # one of several processes, started by the one that has claimed all GPUs
        stage.run(**options)
        return 0
    with _recorded(*record), claimed(processes) if stage.GPUS else nullcontext():
        if processes > 1:
            launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
            command = [*launch, str(processes), "-m", "seediff.cli", *arguments]
            if code := subprocess.run(command).returncode:  # it has said why
                raise typer.Exit(code)
        else:
            stage.run(**options)
    return 0


def _recorded(digest: str = "", *outputs: str) -> AbstractContextManager[None]:
    """Nothing is recorded for jobs that the workflow has not planned."""
    from seediff.workflow.records import recorded

    return recorded(digest, [*map(Path, outputs)]) if outputs else nullcontext()


def read_spec(stage: Stage, text: str) -> Any:
    """The spec of one of the stage's jobs, given as JSON; ``SeediffError`` if it is not what the stage needs."""
    from pydantic import TypeAdapter, ValidationError

    from seediff.workflow.study.load import explain

    kind = _parameters(stage)["spec"]
    try:
        return TypeAdapter(kind).validate_json(text, strict=True)
    except ValidationError as error:
        raise SeediffError(f"--spec: {explain(error, kind)}") from None
