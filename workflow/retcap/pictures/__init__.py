"""Pictures from any file to packed arrays."""
