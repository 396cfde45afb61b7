"""All versions in the model folder: which of them are valid, loaded and served."""
