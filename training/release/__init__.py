"""Third floor: weights -> artifact -> store."""
