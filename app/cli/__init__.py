"""The `pixelsieve` commands: flags, progress bars and tables. What they do lives in app/services."""
