"""Pools side by side: what the same mishap costs in each. ``python -m chaos compare-pools`` is the way in."""
