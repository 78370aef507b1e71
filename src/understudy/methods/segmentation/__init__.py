"""Networks that say what every pixel is."""
