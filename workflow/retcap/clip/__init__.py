"""CLIP towers behind one interface, and the pre-training of small ones."""
