"""The panels of the gallery, a file each: what a panel knows, where it lies, how it is drawn, and its words."""
