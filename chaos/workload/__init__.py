"""What requests are, and what workers do: imported by worker processes, so nothing here imports Trio by itself."""
