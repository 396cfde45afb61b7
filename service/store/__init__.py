"""All versions in the model folder: which are valid, loaded and served."""
