"""Text-to-image models: loaded, drawn with, and measured."""
