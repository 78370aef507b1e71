"""Students that put documents in order."""
