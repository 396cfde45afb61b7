"""The HTTP API that clients see."""
