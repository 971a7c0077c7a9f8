"""What of an image a class score needs."""
