"""One image file to square uint8 pixels, in exact arithmetic."""
