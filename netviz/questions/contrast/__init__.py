"""Maps before and after contrast normalization."""
