"""One version of a model: its files, its manifest, its codec and its SavedModel."""
