"""Which concepts units detect."""
