"""A client for programs: `from app.client.client import Client`."""
