"""Which units of a layer carry a class score, and what becomes of it without them."""
