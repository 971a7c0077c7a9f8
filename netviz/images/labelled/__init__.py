"""Images with labels for their pixels."""
