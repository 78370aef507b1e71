"""What `docs/build.py` makes pages with: each file one kind of page, or one thing that pages show."""
