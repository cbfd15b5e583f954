"""The ground floor of files: atomic writes, paths, JSON, event log, folder lock, weights, size limits."""
