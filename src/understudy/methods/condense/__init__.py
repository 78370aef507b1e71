"""A data set made so small that a student learns from it in a moment."""
