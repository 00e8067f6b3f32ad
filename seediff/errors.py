"""The one exception that is meant for the user."""


class SeediffError(Exception):
    """Bad input, said in one to three lines: what is wrong, where, and what to do about it."""
