"""First floor: text -> arrays."""
