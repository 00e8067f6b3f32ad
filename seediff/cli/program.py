"""The ``seediff`` program: it runs one command, and reports what went wrong in a few lines."""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated

import typer
from typer.exceptions import TyperException

import seediff
from seediff.cli import commands, stages
from seediff.errors import SeediffError
from seediff.names import reason, visible

_NO_MEMORY = re.compile("out of memory|not enough memory|DefaultCPUAllocator")

app = typer.Typer(
    help=seediff.__doc__,
    add_completion=False,
    rich_markup_mode=None,  # help is plain text, so that it needs no rich
    context_settings={"help_option_names": ["--help", "-h"]},
)


def _print_version(asked: bool) -> None:
    if asked:
        print(f"seediff {seediff.__version__}")
        raise typer.Exit


@app.callback()
def _program(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None: ...


commands.add_to(app)
app.add_typer(typer.Typer(cls=stages.Stages, help=stages.Stages.__doc__, callback=lambda: None), name="stage")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0, 1 for bad input, 2 for bad options, 130 when interrupted."""
    arguments = sys.argv[1:] if arguments is None else arguments
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # the terminal may not be able to encode a path
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # a job keeps to the threads that the workflow grants
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    try:
        return _run(arguments)
    except SeediffError as error:
        return _failed(str(error))
    except BrokenPipeError:  # the reader of our output has closed it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        return _failed_to_read_or_write(error)
    except (MemoryError, RuntimeError) as error:
        return _failed_for_lack_of_memory(error)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def _run(arguments: Sequence[str]) -> int:
    program = typer.main.get_command(app)
    try:
        with program.make_context("seediff", list(arguments), obj=arguments) as context:
            return program.invoke(context) or 0
    except typer.Exit as end:
        return end.exit_code
    except TyperException as error:
        where = getattr(error, "ctx", None)
        command = where.command_path if where else "seediff"
        return _failed(f"{visible(error.format_message())}\nSee `{command} --help`.", error.exit_code)


def _failed_to_read_or_write(error: OSError) -> int:
    from seediff.files.sealed import disk_full, is_disk_full

    if is_disk_full(error):
        return _failed(str(disk_full(error.filename or "the output")))
    if error.filename is None:
        raise error
    return _failed(f"{visible(str(error.filename))}: {error.strerror}.\nCorrect that and run again.")


def _failed_for_lack_of_memory(error: MemoryError | RuntimeError) -> int:
    """Torch has several errors of this kind, told by their words: those of devices, and that of the CPU."""
    if not (isinstance(error, MemoryError) or _NO_MEMORY.search(str(error))):
        raise error
    return _failed(f"There is not enough memory: {reason(error)}\nLower --batch-size, height or width.")


def _failed(message: str, code: int = 1) -> int:
    """Print the message in three lines at most, whatever file names it holds; returns the exit code."""
    first, second, *more = [*map(visible, message.split("\n")), ""]
    lines = [f"error: {first}", second, " ".join(more)]
    with suppress(OSError):  # the log may be on the disk that is full
        print("\n".join(line for line in lines if line), file=sys.stderr, flush=True)
    return code
