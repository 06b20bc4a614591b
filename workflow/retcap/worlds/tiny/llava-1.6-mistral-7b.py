"""Tiny LLaVA-1.6 (LLaVA-NeXT): the architecture and the files of the real one, width 64, trained in the demo."""

from retcap.worlds import tiny_captioner as tiny

STEPS = 270  # training steps after which the tiny checkpoint sees colours and most shapes

TEMPLATE = (
    "{% for message in messages %}{{ '[INST] ' if message['role'] == 'user' else ' ' }}"
    "{% for part in message['content'] %}{{ '<image>\\n' if part['type'] == 'image' else part['text'] }}{% endfor %}"
    "{{ ' [/INST]' if message['role'] == 'user' else '' }}{% endfor %}"
)


def build(folder, corpus: list[str], seed: int) -> None:
    """Random checkpoint of the same architecture: width 64, two language layers, tiles of 16 image tokens."""
    from transformers import (
        CLIPVisionConfig,
        LlavaNextConfig,
        LlavaNextForConditionalGeneration,
        LlavaNextProcessor,
        MistralConfig,
    )
    from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil

    side, patch = 56, 14
    grids = [[side, 2 * side], [2 * side, side], [2 * side, 2 * side], [3 * side, side], [side, 3 * side]]
    tokenizer = tiny.train_tokenizer(
        corpus,
        ["<unk>", "<s>", "</s>", "<pad>", "<image>"],
        frame="[INST] \n [/INST]",
        begin="<s>",
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        extra_special_tokens={"image_token": "<image>"},
    )
    processor = LlavaNextProcessor(
        image_processor=LlavaNextImageProcessorPil(
            size={"shortest_edge": side}, crop_size={"height": side, "width": side}, image_grid_pinpoints=grids
        ),
        tokenizer=tokenizer,
        patch_size=patch,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=TEMPLATE,
    )
    config = LlavaNextConfig(
        vision_config=CLIPVisionConfig(
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=3,  # features are taken after the second-last
            num_attention_heads=4,
            image_size=side,
            patch_size=patch,
        ),
        text_config=MistralConfig(
            vocab_size=len(tokenizer),
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=16,
            max_position_embeddings=512,
            sliding_window=None,
            rope_parameters={"rope_type": "default", "rope_theta": 100.0},  # wavelengths of a short text
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        ),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        image_grid_pinpoints=grids,
        vision_feature_layer=-2,
        vision_feature_select_strategy="default",
    )
    model = tiny.build_model(LlavaNextForConditionalGeneration, config, seed)
    tiny.lay_out(model.model.vision_tower.embeddings.position_embedding.weight, seed)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    tiny.save(folder, model, processor)
