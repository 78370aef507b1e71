"""Where joints are, with few labels or in another light."""
