"""Run a recorded network again where a small part of its image has changed."""
