"""Data in columns: how the files are read, which column is what, and how columns become a model's inputs."""
