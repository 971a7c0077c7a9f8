"""What a unit wants to see: pictures made by optimization."""
