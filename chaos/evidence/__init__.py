"""The evidence of a run: its history, its ledger and what both say together."""
