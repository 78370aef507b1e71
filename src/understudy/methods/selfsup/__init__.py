"""From rows alone: two views of one row are to say the same."""
