"""Small widgets that every panel uses; they know the look and nothing of pruning."""
