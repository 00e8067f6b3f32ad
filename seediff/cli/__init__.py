"""The ``seediff`` command. Commands are thin: they parse, call one function of the library, and print what they made.

``commands`` holds the commands for people, ``stages`` those that the workflow calls.
"""

from seediff.cli.program import main

__all__ = ["main"]
