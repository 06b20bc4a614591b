"""Study 4, prefix captioning: a mapper turns a CLIP vector into a prefix of GPT-2, which continues it as a caption."""
