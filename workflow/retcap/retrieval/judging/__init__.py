"""Rankings to hits, as each published program judges them."""
