"""Teachers that write rows for a student to learn from."""
