"""Train a network with skips."""
