"""Tiny BLIP-2 with Flan-T5: the architecture and the files of the real one, width 64, trained in the demo."""

from typing import Any

from retcap.worlds import tiny_blip as blip
from retcap.worlds import tiny_captioner as tiny

STEPS = 450  # training steps after which the tiny checkpoint sees colours and some shapes


def build(folder, corpus: list[str], seed: int) -> None:
    """Random checkpoint of the same architecture: width 64, two encoder and two decoder layers, 8 query tokens."""
    from transformers import Blip2Config, Blip2ForConditionalGeneration, Blip2Processor, T5Config

    tokenizer = tiny.train_tokenizer(
        corpus,
        blip.SPECIAL,
        frame="Question: Answer:",
        end="</s>",
        padding_side="right",
        unk_token="<unk>",
        eos_token="</s>",
        pad_token="<pad>",
    )
    processor = Blip2Processor(blip.image_processor(), tokenizer, num_query_tokens=blip.QUERIES)
    untied: dict[str, Any] = {"tie_word_embeddings": False}
    started = {"decoder_start_token_id": tokenizer.pad_token_id}
    text = T5Config(
        vocab_size=len(tokenizer),
        d_model=64,
        d_kv=16,
        d_ff=128,
        num_layers=2,
        num_decoder_layers=2,
        num_heads=4,
        dropout_rate=0.0,
        feed_forward_proj="gated-gelu",  # as Flan-T5 has
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **untied,
        **started,
    )
    config = Blip2Config(
        vision_config=blip.vision(),
        qformer_config=blip.qformer(len(tokenizer)),
        text_config=text.to_dict(),
        num_query_tokens=blip.QUERIES,
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        **untied,
    )
    # T5's attention is unscaled and wants the library's draw.
    model = tiny.build_model(Blip2ForConditionalGeneration, config, seed, keep=("language_model",))
    model.generation_config.decoder_start_token_id = tokenizer.pad_token_id
    blip.finish(folder, model, processor, seed)
