"""Streams of a dense network side by side."""
