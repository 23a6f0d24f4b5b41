"""A worker's link as a bystander sees it: frames in both directions, and what may be done to them on their way."""
