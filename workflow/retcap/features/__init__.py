"""Rows to vectors: tokens, batches, encoding, files of vectors."""
