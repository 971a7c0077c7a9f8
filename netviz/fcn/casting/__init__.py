"""A classifier becomes fully convolutional."""
