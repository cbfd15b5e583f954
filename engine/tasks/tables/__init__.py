"""Data in tables: reads files, assigns roles to columns, and converts columns to a model's inputs."""
