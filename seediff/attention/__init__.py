"""A diffusion model's attention: recorded while it samples, averaged into one set of maps per image."""
