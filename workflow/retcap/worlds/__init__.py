"""What exists for the demo alone: generated worlds and tiny checkpoints."""
