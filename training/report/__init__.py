"""A run as one page for people. Reads what the run left in its folder; knows no weights and no framework."""
