"""A model in use goes on learning from what it is used on."""
