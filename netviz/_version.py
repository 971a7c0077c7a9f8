"""The one place that holds netviz's version."""

__version__ = "0.2.0"
