"""The process layer: where a worker runs, how bytes reach it, and how it is certain to be gone afterwards."""
