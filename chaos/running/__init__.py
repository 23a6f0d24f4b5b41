"""Running a plan: the application process with its pool, load and faults, and the process that watches over it."""
