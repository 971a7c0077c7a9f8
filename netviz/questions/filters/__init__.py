"""A layer's filters."""
