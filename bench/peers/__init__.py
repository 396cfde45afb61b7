"""The same model served with other software. Never imported by the service or by training."""
