"""Retraining: trains models on new text, compares each new version with the served one, and publishes or refuses it."""
