"""What a student can't predict, since it was shown nothing of the kind."""
