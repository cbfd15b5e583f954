"""The house itself: packages, imports, what is shipped."""
