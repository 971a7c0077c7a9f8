"""Everything that a gallery shows of a network, measured."""
