"""Zero-shot classification: text vectors of the classes' prompts are the weights of a linear classifier.

    w_c = normalise( mean_t normalise( text( template_t(name_c) ) ) )        similarity = image . w_c
    (Radford et al. 2021, section 3.1.4; the order of normalising and averaging is that of their notebook)

Three of them stand side by side: the bare name, one template, and the ensemble of all templates. CLIP's temperature
scales all similarities of an image alike, so it changes no place, and is left out.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int

from retcap.transfer import hits

BLOCK = 65_536  # items whose similarities are in memory at once


def unit(vectors: Float[np.ndarray, "*rows E"]) -> Float[np.ndarray, "*rows E"]:
    """Vectors of length 1. ValueError where one has no direction."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    if not (length > 0).all():  # NaN too
        raise ValueError(f"{int((~(length > 0)).sum())} vectors have no direction: all zeros, or not finite.")
    return vectors / length


def class_weights(vectors: Float[np.ndarray, "C T E"]) -> Float[np.ndarray, "C E"]:
    """One weight vector per class from the vectors of its prompts."""
    return unit(unit(vectors).mean(axis=1))


def classifiers(templates: Sequence[str]) -> dict[str, list[int]]:
    """Name of every zero-shot classifier, with the places of its templates in `["{}", *templates]`."""
    found = {"bare name": [0]}
    if templates:
        found["one template"] = [1]
    if len(templates) > 1:
        found[f"ensemble of {len(templates)}"] = list(range(1, len(templates) + 1))
    return found


def weights_by_classifier(
    vectors: Float[np.ndarray, "C T E"], templates: Sequence[str]
) -> Mapping[str, Float[np.ndarray, "C E"]]:
    """Weights of every classifier; `vectors`: of the prompts from `["{}", *templates]`."""
    return {name: class_weights(vectors[:, chosen]) for name, chosen in classifiers(templates).items()}


def places(
    images: Float[np.ndarray, "N E"], weights: Float[np.ndarray, "C E"], labels: Int[np.ndarray, " N"]
) -> Int[np.ndarray, " N"]:
    """Place of the right class of every image."""
    found = [
        hits.places(images[start : start + BLOCK].astype(np.float64) @ weights.T, labels[start : start + BLOCK])
        for start in range(0, len(images), BLOCK)
    ]
    return np.concatenate(found) if found else np.empty(0, np.int64)
