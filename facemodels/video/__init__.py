"""Videos: reading and writing them, the people in them, and their emotions over time."""
