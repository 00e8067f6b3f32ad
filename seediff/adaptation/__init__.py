"""LoRA adaptation: a diffusion model learns to draw the domain of unlabelled target images."""
