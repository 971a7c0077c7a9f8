"""What a unit is built from, and what it feeds."""
