"""What a command says to people."""

from __future__ import annotations

from seediff.names import visible_lines


def say(text: str) -> None:
    """Print the text; titles, paths, logs and words in it that would steer the terminal are written out."""
    print(visible_lines(text))
