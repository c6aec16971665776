"""Networks: decoders of shape codes and the transformers that predict codes."""
