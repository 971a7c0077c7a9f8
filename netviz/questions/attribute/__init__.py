"""Which part of an image a score comes from."""
