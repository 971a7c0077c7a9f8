"""SIFT beside a layer."""
