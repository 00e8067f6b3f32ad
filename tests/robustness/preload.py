"""What the stages import when they start."""

import matplotlib.figure  # noqa: F401
import pandas  # noqa: F401
from diffusers import StableDiffusionPipeline  # noqa: F401

import tests.robustness.jobs  # noqa: F401
