"""Words that stand for a class beside its name, and prompts that vary them (docs/methods/prompt-augmentation.md)."""
