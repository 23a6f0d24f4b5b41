"""A configuration from a file, from the environment, and with single fields on top."""

import tempfile
from pathlib import Path

from trio_pool import PoolConfig

FILE = """
size = 8
timeout = 10.0

[restart]
max_restarts = 20
within = 60.0
"""

with tempfile.TemporaryDirectory() as folder:
    path = Path(folder, "pool.toml")
    path.write_text(FILE)
    config = PoolConfig.from_toml(path)
print(config.size, config.timeout, config.restart.within)

# In place of the mapping, the process's own environment, unless one is given.
config = PoolConfig.from_env("MY_POOL", {"MY_POOL_SIZE": "4", "MY_POOL_RESTART__WITHIN": "60"})
print(config.size, config.restart.within)

config = config.evolve(size=2, health={"interval": 1.0})
print(config.size, config.health)

for bad in [{"MY_POOL_SIZE": "many"}, {"MY_POOL_SIZES": "4"}]:
    try:
        PoolConfig.from_env("MY_POOL", bad)
    except ValueError as error:
        print(error)

# Prints:
# 8 10.0 60.0
# 4 60.0
# 2 HealthPolicy(interval=1.0, timeout=2.0, misses=2)
# MY_POOL_*: size: invalid literal for int() with base 10: 'many'
# MY_POOL_*: sizes is not a field
