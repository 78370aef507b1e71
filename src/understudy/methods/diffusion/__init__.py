"""From many denoising steps to few."""
