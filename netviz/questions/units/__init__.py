"""What units are like."""
