"""What one unit answers to."""
