"""The parts of a survey, a file each."""
