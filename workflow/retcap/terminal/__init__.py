"""What a run and its jobs say to the person who waits for it."""
