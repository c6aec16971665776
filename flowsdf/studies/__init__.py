"""The experiments of the thesis, each a function from data and numbers to tensors and tables."""
