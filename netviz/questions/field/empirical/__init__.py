"""The empirical field: what makes a unit change, found by covering parts of images."""
