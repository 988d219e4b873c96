"""What comes out of a run: errors, SavedModels, pictures, reports."""
