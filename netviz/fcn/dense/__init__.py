"""A classifier at every place of an image."""
