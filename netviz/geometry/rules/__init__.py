"""What each torch function does to the field of what it reads."""
