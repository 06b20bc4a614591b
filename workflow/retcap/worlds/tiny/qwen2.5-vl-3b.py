"""Tiny Qwen2.5-VL: the architecture and the files of the real one, width 64, trained in the demo."""

from retcap.worlds import tiny_captioner as tiny

STEPS = 250  # training steps after which the tiny checkpoint sees colours and most shapes

TEMPLATE = (
    "{% if messages[0]['role'] != 'system' %}<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% endif %}"
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for part in message['content'] %}"
    "{{ '<|vision_start|><|image_pad|><|vision_end|>' if part['type'] == 'image' else part['text'] }}"
    "{% endfor %}{% endif %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def build(folder, corpus: list[str], seed: int) -> None:
    """Random checkpoint of the same architecture: width 64, two language layers, 18 image tokens for a 2:1 panorama."""
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration, Qwen2_5_VLProcessor
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
    from transformers.models.qwen2_vl.video_processing_qwen2_vl import Qwen2VLVideoProcessor

    patch, token_px = 14, 28 * 28
    pixels = {"shortest_edge": 4 * token_px, "longest_edge": 20 * token_px}
    names = {"image_token": "<|image_pad|>", "video_token": "<|video_pad|>"}
    marks = ["<|vision_start|>", "<|vision_end|>"]
    tokenizer = tiny.train_tokenizer(
        corpus,
        ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *marks, *names.values()],
        frame="system\nYou are a helpful assistant.\nuser\nassistant\n",
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        extra_special_tokens={**names, "start_token": "<|im_start|>", "vision_start": marks[0], "vision_end": marks[1]},
    )
    processor = Qwen2_5_VLProcessor(
        image_processor=Qwen2VLImageProcessorPil(size=pixels, patch_size=patch, merge_size=2, temporal_patch_size=1),
        tokenizer=tokenizer,
        video_processor=Qwen2VLVideoProcessor(size=pixels, patch_size=patch, merge_size=2, temporal_patch_size=1),
        chat_template=TEMPLATE,
    )
    token = tokenizer.convert_tokens_to_ids
    config = Qwen2_5_VLConfig(
        vision_config={
            "depth": 2,
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_heads": 4,
            "patch_size": patch,
            "temporal_patch_size": 1,  # a still image would be read twice
            "out_hidden_size": 64,
            "window_size": 12 * patch,  # one window for a panorama, or training would take twice as long
            "fullatt_block_indexes": [1],
        },
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 512,
            # Wavelengths of a grid of few tokens, and most of them for columns: at the real 1e6 all would look alike.
            "rope_parameters": {"rope_type": "default", "rope_theta": 10.0, "mrope_section": [2, 1, 5]},
            "bos_token_id": None,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
        },
        image_token_id=token("<|image_pad|>"),
        video_token_id=token("<|video_pad|>"),
        vision_start_token_id=token("<|vision_start|>"),
        vision_end_token_id=token("<|vision_end|>"),
    )
    model = tiny.build_model(Qwen2_5_VLForConditionalGeneration, config, seed)
    tiny.draw_key_biases(model.model.language_model, seed)
    # Two end tokens, as the real generation config has.
    model.generation_config.eos_token_id = [tokenizer.eos_token_id, tokenizer.pad_token_id]
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    tiny.save(folder, model, processor)
