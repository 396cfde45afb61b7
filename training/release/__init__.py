"""Weights -> artifact -> store: exports a network, checks the export, and publishes it as a version."""
