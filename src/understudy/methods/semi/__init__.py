"""From few labels and many rows without one."""
