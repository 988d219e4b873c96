"""The train loop and what it keeps: position, weights, optimizer and learning rate."""
