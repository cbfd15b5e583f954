"""What models are for."""
