"""Answers requests. Knows the artifact; knows nothing of training or Keras."""
