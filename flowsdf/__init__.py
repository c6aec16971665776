"""flowsdf: the library under the notebooks of a reproducible report on neural shape generation."""
