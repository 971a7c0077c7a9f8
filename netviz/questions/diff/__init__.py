"""What differs between two checkpoints of one architecture."""
