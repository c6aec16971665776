"""Running notebooks, keeping their results, and making the book."""
