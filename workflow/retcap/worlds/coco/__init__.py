"""The demo's COCO-style set and the small GPT-2 that has read its captions."""
