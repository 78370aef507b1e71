"""What the attention of one transformer teaches another."""
