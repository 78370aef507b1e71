"""Language models: what they write, and how likely each word of it was."""
