"""What a model is for: how its answers are compared with what is right. One file each, and a line in the table."""
