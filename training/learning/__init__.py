"""Arrays -> weights: the training run, its steps, its evaluations and its checkpoints."""
