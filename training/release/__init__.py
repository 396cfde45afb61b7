"""Weights -> artifact -> store."""
