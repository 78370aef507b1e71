"""Of what is in a row, the hard part is learned too."""
