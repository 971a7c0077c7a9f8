"""How well a network labels pixels."""
