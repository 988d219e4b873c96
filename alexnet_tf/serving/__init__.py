"""A trained network outside this project: the SavedModel and what goes into its graph."""
