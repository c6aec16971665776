"""The one training loop, its checkpoints, and fits that are cached by content."""
