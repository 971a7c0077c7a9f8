"""What follows a convolution."""
