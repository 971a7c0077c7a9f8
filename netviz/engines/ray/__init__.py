"""The engine that spreads a run over a cluster."""
