"""A run as one page. Reads the files in the run's folder; loads no weights and no framework."""
