"""What of an image suffices."""
