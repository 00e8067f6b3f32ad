"""The embedded world: pictogram scenes with exact masks, and the small diffusion model trained on them."""
