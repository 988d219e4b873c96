"""Images by their likeness: exact search by features, and by short binary codes (section 6.1)."""
