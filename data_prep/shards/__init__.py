"""A plan, its shards, their statistics: each shard made alone, the same bytes every time."""
