"""The true sizes of the captioners: model configuration and processor settings, as the published checkpoints have them.

Written down from the config.json and preprocessor files of the checkpoints that the cards name; whatever is not named
here is transformers' default, and token ids come from the tiny tokenizers of the demo. A test counts the parameters on
the meta device and compares them with the cards, and the image tokens of one panorama with the published ones.
"""

from typing import Any

EVA_G = {  # EVA-CLIP ViT-g/14 without its last layer (Li et al. 2023, section 4)
    "hidden_size": 1408,
    "intermediate_size": 6144,
    "num_hidden_layers": 39,
    "num_attention_heads": 16,
    "image_size": 224,
    "patch_size": 14,
}
CLIP_L_336 = {
    "model_type": "clip_vision_model",
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "image_size": 336,
    "patch_size": 14,
    "projection_dim": 768,
}
LLAMA_7B = {
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 32,
    "max_position_embeddings": 4096,
}
Q_FORMER = {"encoder_hidden_size": 1408, "vocab_size": 30_523}  # else BERT base with cross-attention every second layer


def squashed(side: int) -> dict[str, Any]:
    """Processor that resizes to a square of `side` px."""
    return {"image_processor": {"size": {"height": side, "width": side}}}


def cropped(side: int) -> dict[str, Any]:
    """Processor that resizes the shorter edge to `side` px and crops the centre."""
    return {"image_processor": {"size": {"shortest_edge": side}, "crop_size": {"height": side, "width": side}}}


SIZES: dict[str, dict[str, Any]] = {
    "blip2-opt-2.7b": {
        "config": {
            "vision_config": EVA_G,
            "qformer_config": Q_FORMER,
            "text_config": {
                "model_type": "opt",
                "vocab_size": 50_304,
                "hidden_size": 2560,
                "word_embed_proj_dim": 2560,
                "ffn_dim": 10_240,
                "num_hidden_layers": 32,
                "num_attention_heads": 32,
            },
            "num_query_tokens": 32,
        },
        "processor": {**squashed(224), "num_query_tokens": 32},
    },
    "blip2-flan-t5-xl": {
        "config": {
            "vision_config": EVA_G,
            "qformer_config": Q_FORMER,
            "text_config": {
                "model_type": "t5",
                "vocab_size": 32_128,
                "d_model": 2048,
                "d_kv": 64,
                "d_ff": 5120,
                "num_layers": 24,
                "num_decoder_layers": 24,
                "num_heads": 32,
                "feed_forward_proj": "gated-gelu",
                "tie_word_embeddings": False,
            },
            "num_query_tokens": 32,
            "tie_word_embeddings": False,
        },
        "processor": {**squashed(224), "num_query_tokens": 32},
    },
    "instructblip-vicuna-7b": {
        "config": {
            "vision_config": EVA_G,
            "qformer_config": Q_FORMER,
            "text_config": LLAMA_7B | {"vocab_size": 32_001, "max_position_embeddings": 2048},
            "num_query_tokens": 32,
        },
        "processor": {**squashed(224), "num_query_tokens": 32},
    },
    "llava-1.5-7b": {
        "config": {
            "vision_config": CLIP_L_336,
            "text_config": LLAMA_7B | {"vocab_size": 32_064},
            "vision_feature_layer": -2,
            "vision_feature_select_strategy": "default",
        },
        "processor": cropped(336),
    },
    "llava-1.6-mistral-7b": {
        "config": {
            "vision_config": CLIP_L_336,
            "text_config": {
                "model_type": "mistral",
                "vocab_size": 32_064,
                "hidden_size": 4096,
                "intermediate_size": 14_336,
                "num_hidden_layers": 32,
                "num_attention_heads": 32,
                "num_key_value_heads": 8,
                "max_position_embeddings": 32_768,
                "sliding_window": None,
            },
            "image_grid_pinpoints": [[336, 672], [672, 336], [672, 672], [1008, 336], [336, 1008]],
            "vision_feature_layer": -2,
            "vision_feature_select_strategy": "default",
        },
        "processor": {
            "image_processor": cropped(336)["image_processor"]
            | {"image_grid_pinpoints": [[336, 672], [672, 336], [672, 672], [1008, 336], [336, 1008]]}
        },
    },
    "qwen2.5-vl-3b": {
        "config": {
            "vision_config": {
                "depth": 32,
                "hidden_size": 1280,
                "intermediate_size": 3420,
                "num_heads": 16,
                "patch_size": 14,
                "spatial_merge_size": 2,
                "temporal_patch_size": 2,
                "out_hidden_size": 2048,
                "window_size": 112,
                "fullatt_block_indexes": [7, 15, 23, 31],
            },
            "text_config": {
                "vocab_size": 151_936,
                "hidden_size": 2048,
                "intermediate_size": 11_008,
                "num_hidden_layers": 36,
                "num_attention_heads": 16,
                "num_key_value_heads": 2,
                "max_position_embeddings": 128_000,
                "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]},
                "tie_word_embeddings": True,
            },
            "tie_word_embeddings": True,
        },
        "processor": {
            "image_processor": {
                "size": {"shortest_edge": 3136, "longest_edge": 12_845_056},
                "temporal_patch_size": 2,
            }
        },
    },
    "gemma-3-4b": {
        "config": {
            "vision_config": {
                "hidden_size": 1152,
                "intermediate_size": 4304,
                "num_hidden_layers": 27,
                "num_attention_heads": 16,
                "image_size": 896,
                "patch_size": 14,
                "vision_use_head": False,
            },
            "text_config": {
                "vocab_size": 262_208,
                "hidden_size": 2560,
                "intermediate_size": 10_240,
                "num_hidden_layers": 34,
                "num_attention_heads": 8,
                "num_key_value_heads": 4,
                "head_dim": 256,
                "sliding_window": 1024,
            },
            "mm_tokens_per_image": 256,
        },
        "processor": {**squashed(896), "image_seq_length": 256},
    },
    "internvl3-2b": {
        "config": {
            "vision_config": {
                "hidden_size": 1024,
                "intermediate_size": 4096,
                "num_hidden_layers": 24,
                "num_attention_heads": 16,
                "attention_bias": True,
                "image_size": [448, 448],
                "patch_size": [14, 14],
            },
            "text_config": {
                "model_type": "qwen2",
                "vocab_size": 151_674,
                "hidden_size": 1536,
                "intermediate_size": 8960,
                "num_hidden_layers": 28,
                "num_attention_heads": 12,
                "num_key_value_heads": 2,
                "max_position_embeddings": 32_768,
                "tie_word_embeddings": False,
            },
            "image_seq_length": 256,
            "tie_word_embeddings": False,
        },
        "processor": {
            "image_processor": {"size": {"height": 448, "width": 448}, "min_patches": 1, "max_patches": 12},
            "image_seq_length": 256,
        },
    },
}
