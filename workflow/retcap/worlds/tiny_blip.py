"""What the tiny checkpoints of the BLIP family share: a vision tower at 84 px, a Q-Former, and special tokens."""

from typing import Any

from retcap.worlds import tiny_captioner as tiny

SIDE, PATCH, QUERIES = 84, 14, 8
SPECIAL = ["<unk>", "<s>", "</s>", "<pad>", "<image>"]  # no named image token: processors of the family trip over one


def image_processor() -> Any:
    """Squashes a panorama to SIDE x SIDE px, as the real one does to 224 x 224."""
    from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil

    return BlipImageProcessorPil(size={"height": SIDE, "width": SIDE})


def vision() -> dict:
    """Sizes of the vision tower. The library's own initialisation, with a deviation of 1e-10, never learns."""
    return {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "image_size": SIDE,
        "patch_size": PATCH,
        "initializer_range": 0.02,
    }


def qformer(vocabulary: int) -> dict:
    """Sizes of the Q-Former, which looks at the image in every layer; `vocabulary` of the text it reads."""
    return {
        "vocab_size": vocabulary,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 128,
        "cross_attention_frequency": 1,
        "encoder_hidden_size": 64,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
    }


def finish(folder, model: Any, processor: Any, seed: int) -> None:
    """Lay the patches out and write the checkpoint with the tokenizer's end and pad tokens."""
    tiny.lay_out(model.vision_model.embeddings.position_embedding[0], seed)
    model.generation_config.eos_token_id = processor.tokenizer.eos_token_id
    model.generation_config.pad_token_id = processor.tokenizer.pad_token_id
    tiny.save(folder, model, processor)
