"""A small vocabulary for the demo's models: the 49,408 entries of CLIP's would be nine tenths of the parameters."""

from collections.abc import Sequence

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

SPECIAL = ("<pad>", "<s>", "</s>", "<unk>")  # ids 0 to 3
PAD_ID, EOS_ID = 0, 2


def train_tokenizer(texts: Sequence[str], vocab_size: int = 512) -> PreTrainedTokenizerFast:
    """Lower-casing byte-level BPE on the given texts, with `<s> … </s>` around every text.

    Asks for more entries than bytes (256); every string stays encodable.
    """
    bpe = Tokenizer(models.BPE(unk_token="<unk>"))
    bpe.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    train_on_bytes(bpe, texts, SPECIAL, vocab_size, blank_in_front=True)
    bpe.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)])
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe, **dict(zip(("pad_token", "bos_token", "eos_token", "unk_token"), SPECIAL, strict=True))
    )


def train_on_bytes(
    bpe: Tokenizer, texts: Sequence[str], special: Sequence[str], vocab_size: int, *, blank_in_front: bool
) -> None:
    """Teach a BPE model at most `vocab_size` entries: the special tokens in their order, all bytes, frequent pairs.

    `blank_in_front`: a word has the same entries at the beginning of a text as elsewhere.
    """
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=blank_in_front)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(special),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),  # a set; today's trainer sorts it, too
        show_progress=False,
    )
    bpe.train_from_iterator(texts, trainer)
