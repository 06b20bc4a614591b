"""Tiny BLIP-2 with OPT: the architecture and the files of the real one, width 64, trained in the demo."""

from retcap.worlds import tiny_blip as blip
from retcap.worlds import tiny_captioner as tiny

STEPS = 400  # training steps after which the tiny checkpoint sees colours and some shapes


def build(folder, corpus: list[str], seed: int) -> None:
    """Random checkpoint of the same architecture: width 64, two language layers, 8 query tokens."""
    from transformers import Blip2Config, Blip2ForConditionalGeneration, Blip2Processor, OPTConfig

    tokenizer = tiny.train_tokenizer(
        corpus,
        blip.SPECIAL,
        frame="Question: Answer:",
        begin="</s>",
        unk_token="<unk>",
        bos_token="</s>",  # one token for both ends, as OPT has
        eos_token="</s>",
        pad_token="<pad>",
    )
    processor = Blip2Processor(blip.image_processor(), tokenizer, num_query_tokens=blip.QUERIES)
    text = OPTConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        word_embed_proj_dim=64,
        ffn_dim=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=512,
        dropout=0.0,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    config = Blip2Config(
        vision_config=blip.vision(),
        qformer_config=blip.qformer(len(tokenizer)),
        text_config=text.to_dict(),
        num_query_tokens=blip.QUERIES,
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
    )
    blip.finish(folder, tiny.build_model(Blip2ForConditionalGeneration, config, seed), processor, seed)
