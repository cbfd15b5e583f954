"""What ships."""
