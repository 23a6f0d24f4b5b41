"""Pools to put under load and faults: ours, and others by a small adapter each."""
