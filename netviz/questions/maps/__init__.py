"""A layer's maps."""
