"""The checkers: from the evidence alone, what was broken, what was proved, and what was not even tested."""
