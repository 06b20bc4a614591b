"""Study 3, CLIP transfer: what frozen features are worth on other data, without labels, with a few, and with all."""
