"""All depths at every place."""
