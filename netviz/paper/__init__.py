"""What all pictures share. No torch, no pyplot."""
