"""How the compared systems are named; `systems` says what they do.

random                  random unit vectors: chance, by the same code
zero_shot-<backbone>    CLIP's own text and image features, summed
untrained-<retriever>   the retriever as built, before any training
<retriever>             the trained retriever
"""

RANDOM, ZERO_SHOT, UNTRAINED = "random", "zero_shot-", "untrained-"
