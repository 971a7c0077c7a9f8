"""Read a checkpoint file safely."""
