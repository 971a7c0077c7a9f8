"""Tell which architecture a state dict belongs to."""
