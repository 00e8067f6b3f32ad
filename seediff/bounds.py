"""Bounds of numbers that a study, a command or a call may give: no sound one comes near."""

from __future__ import annotations

MOST_TIMESTEPS = 1000
"""Diffusion models know a thousand timesteps."""

MOST_AT_ONCE = 4096
"""No machine has memory for more images at one time."""
