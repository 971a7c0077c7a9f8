"""What is known of a network beside its weights: how it wants its images, and what its outputs mean."""
