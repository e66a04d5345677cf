"""What the application does: each function here is one action of a user or of a background job."""
