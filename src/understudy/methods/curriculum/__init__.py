"""The teacher chooses the tasks; the student learns on its own."""
