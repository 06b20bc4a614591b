"""Tiny InstructBLIP: the architecture and the files of the real one, width 64, trained in the demo."""

from retcap.worlds import tiny_blip as blip
from retcap.worlds import tiny_captioner as tiny

STEPS = 360  # training steps after which the tiny checkpoint sees colours and most shapes


def build(folder, corpus: list[str], seed: int) -> None:
    """Random checkpoint of the same architecture: width 64, two language layers, 8 query tokens, a second tokenizer."""
    from transformers import (
        InstructBlipConfig,
        InstructBlipForConditionalGeneration,
        InstructBlipProcessor,
        LlamaConfig,
    )

    tokenizer = tiny.train_tokenizer(
        corpus,
        blip.SPECIAL,
        begin="<s>",
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
    )
    reader = tiny.train_tokenizer(  # the Q-Former reads the prompt too, as a BERT does
        corpus,
        ["[PAD]", "[UNK]", "[CLS]", "[SEP]"],
        begin="[CLS]",
        end="[SEP]",
        padding_side="right",
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
    )
    processor = InstructBlipProcessor(blip.image_processor(), tokenizer, reader, num_query_tokens=blip.QUERIES)
    text = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=512,
        rope_parameters={"rope_type": "default", "rope_theta": 100.0},  # wavelengths of a short text
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    config = InstructBlipConfig(
        vision_config=blip.vision(),
        qformer_config=blip.qformer(len(reader)),
        text_config=text.to_dict(),
        num_query_tokens=blip.QUERIES,
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
    )
    blip.finish(folder, tiny.build_model(InstructBlipForConditionalGeneration, config, seed), processor, seed)
