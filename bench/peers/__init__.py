"""What others would serve the same model with. Never imported by the service or by training."""
