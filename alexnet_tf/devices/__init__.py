"""Where a run computes: strategies, the workers of a cluster, and how they fail."""
