"""Students that do without the graph their teacher needs."""
