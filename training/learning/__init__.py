"""Second floor: arrays -> weights."""
