"""Networks with streams and skips."""
