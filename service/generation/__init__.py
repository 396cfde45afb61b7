"""Second floor: what happens. No HTTP, no TensorFlow."""
