"""Scenarios and plans: what is to happen, as data. Imports neither Trio nor the pool's machinery."""
