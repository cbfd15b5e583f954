"""The stand-alone loader of pruned models; it is copied into every PyTorch export and needs nothing of Secateur."""
