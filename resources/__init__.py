"""What the project ships: icons, the sample networks and the sample data."""
