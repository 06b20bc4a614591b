"""Tiny Gemma 3: the architecture and the files of the real one, width 64, trained in the demo."""

from retcap.worlds import tiny_captioner as tiny

STEPS = 340  # training steps after which the tiny checkpoint sees colours and some shapes
END_OF_ANSWER = "<end_of_turn>"

TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ '<start_of_turn>' + ('model' if message['role'] == 'assistant' else message['role']) + '\n' }}"
    "{% for part in message['content'] %}"
    "{{ '<start_of_image>' if part['type'] == 'image' else part['text'] | trim }}"
    "{% endfor %}<end_of_turn>\n{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)


def build(folder, corpus: list[str], seed: int) -> None:
    """Random checkpoint of the same architecture: width 64, two language layers, 16 image tokens."""
    from transformers import Gemma3Config, Gemma3ForConditionalGeneration, Gemma3Processor
    from transformers.models.gemma3.image_processing_pil_gemma3 import Gemma3ImageProcessorPil

    side, patch, image_tokens = 112, 14, 16
    names = {"boi_token": "<start_of_image>", "eoi_token": "<end_of_image>", "image_token": "<image_soft_token>"}
    tokenizer = tiny.train_tokenizer(
        corpus,
        ["<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>", *names.values()],
        frame="user\n\n\nmodel\n",
        begin="<bos>",
        unk_token="<unk>",
        bos_token="<bos>",
        eos_token="<eos>",
        pad_token="<pad>",
        extra_special_tokens=names,
    )
    processor = Gemma3Processor(
        image_processor=Gemma3ImageProcessorPil(size={"height": side, "width": side}),
        tokenizer=tokenizer,
        image_seq_length=image_tokens,
        chat_template=TEMPLATE,
    )
    token = tokenizer.convert_tokens_to_ids
    config = Gemma3Config(
        vision_config={
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "image_size": side,
            "patch_size": patch,
            "vision_use_head": False,
        },
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 16,
            "query_pre_attn_scalar": 16,
            "sliding_window": 512,
            "max_position_embeddings": 512,
            "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
        },
        mm_tokens_per_image=image_tokens,
        boi_token_index=token(names["boi_token"]),
        eoi_token_index=token(names["eoi_token"]),
        image_token_index=token(names["image_token"]),
    )
    model = tiny.build_model(Gemma3ForConditionalGeneration, config, seed)
    tiny.lay_out(model.model.vision_tower.embeddings.position_embedding.weight, seed)
    # Two end tokens, as the real generation config has.
    model.generation_config.eos_token_id = [tokenizer.eos_token_id, token(END_OF_ANSWER)]
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    tiny.save(folder, model, processor)
