"""What the person says: text to the model's symbols, and how long it takes to say it."""
