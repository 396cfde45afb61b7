"""Third floor: what clients see."""
