"""First floor: what is loaded."""
