"""The one place that holds netviz's version."""

__version__ = "0.1.0"
