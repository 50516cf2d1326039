"""The corpus of the small model: people of its drawn world, who move and speak."""
