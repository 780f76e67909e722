"""Ways for a rendered script to reach a node."""
