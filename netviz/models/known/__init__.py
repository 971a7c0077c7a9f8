"""Networks whose files netviz knows."""
