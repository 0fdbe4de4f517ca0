"""How the service is deployed, and the demo of it."""
