"""The command line: the same road as the window, without one; it prints for a person or as one JSON object."""
