"""Text -> arrays."""
