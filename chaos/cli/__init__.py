"""The command line: ``python -m chaos`` and ``trio-pool-chaos``."""
