"""What carries out the faults of a scenario: an injector for each kind, which heals what it did."""
