"""What is handed on: a report of one HTML file, and a bundle that opens without the model and its data."""
