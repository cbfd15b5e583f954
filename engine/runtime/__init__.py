"""Stand-alone loaders of exported models, each one file that is copied into exports and needs nothing of Secateur."""
