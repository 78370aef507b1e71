"""New classes come, old ones must stay."""
