"""The ``seediff`` program: it parses, runs one command, and says in a few lines what went wrong."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence

from seediff import __version__
from seediff.cli.complaints import Parser, failed
from seediff.cli.people import add_commands_for_people
from seediff.cli.stages import add_stages
from seediff.errors import SeediffError
from seediff.files.sealed import disk_full, is_disk_full
from seediff.names import visible


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code. Bad input is said in a few lines, never with a traceback."""
    arguments = sys.argv[1:] if arguments is None else arguments
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a path may hold what the terminal's encoding does not
    parsed = _parser().parse_args(arguments)
    parsed.arguments = arguments
    try:
        _limit_threads()
        return parsed.run(parsed) or 0
    except SeediffError as error:
        return failed(error)
    except BrokenPipeError:  # what we print to has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        if is_disk_full(error):
            return failed(disk_full(error.filename or "what is said here"))
        if error.filename is None:
            raise
        return failed(f"{visible(str(error.filename))}: {error.strerror}.\nMend that and run again.")
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def _limit_threads() -> None:
    """Keep tokenizers and maths libraries to the threads the workflow grants."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="seediff", description=sys.modules["seediff"].__doc__)
    parser.add_argument("--version", action="version", version=f"seediff {__version__}")
    commands = parser.add_subparsers(required=True, metavar="command")
    add_commands_for_people(commands)
    add_stages(commands)
    return parser
