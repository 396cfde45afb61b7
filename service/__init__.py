"""Serves published models over HTTP. Knows the artifact; knows nothing of training or Keras."""
