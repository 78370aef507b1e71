"""Teaching and tracing people."""
