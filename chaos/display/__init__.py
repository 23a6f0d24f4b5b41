"""What somebody at a terminal sees of a run while it lasts."""
