"""What excites each unit most."""
