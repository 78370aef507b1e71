"""Networks of many sizes trained in one, and the one that is taken out of it."""
