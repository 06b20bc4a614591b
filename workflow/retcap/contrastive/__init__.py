"""Contrastive training: loss, negatives of all devices, cached gradients, batches, checkpoints, selection."""
