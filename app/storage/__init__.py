"""What a workspace remembers: SQLite rows and the files they point to."""
