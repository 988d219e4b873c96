"""From gradients to new weights: update rules, multipliers, norm limits, loss scale."""
