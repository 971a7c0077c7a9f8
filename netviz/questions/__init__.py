"""A folder for each question: network and images in, a Result out, a picture of it."""
