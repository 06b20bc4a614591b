"""Image-text recall by counting places, side by side with CLIP_benchmark's `recall_at_k`: same numbers, seconds.

    uv pip install --no-deps --target /tmp/clip_benchmark clip-benchmark
    PYTHONPATH=/tmp/clip_benchmark uv run python tests/benchmarks/recall_image_text.py

Vectors are drawn: every caption is its picture's vector with noise. CLIP_benchmark's part is its own loop over batches
of 64 rows. Both get fp32 vectors; the scores behind ours are sums in fp64.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "workflow"))
from retcap.transfer import image_text

KS = (1, 5, 10)
BATCH = 64  # rows of CLIP_benchmark's loop: the default of its command line


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--captions", type=int, default=5, help="per picture")
    parser.add_argument("--width", type=int, default=512)
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    images = unit(rng.standard_normal((arguments.images, arguments.width)))
    owner = np.repeat(np.arange(arguments.images), arguments.captions)
    texts = unit(images[owner] + 0.35 * rng.standard_normal((len(owner), arguments.width)))
    started = time.process_time()
    to_text, to_image = image_text.places(images, texts, owner)
    ours = {f"{way}@{k}": float((place < k).mean()) for way, place in ways(to_text, to_image) for k in KS}
    seconds = time.process_time() - started
    started = time.process_time()
    theirs = by_clip_benchmark(images, texts, owner)
    print(f"{arguments.images} pictures, {len(owner)} captions, width {arguments.width}")
    print(f"retcap          {seconds:8.2f} CPU s  {shown(ours)}")
    print(f"CLIP_benchmark  {time.process_time() - started:8.2f} CPU s  {shown(theirs)}")
    worst = max(abs(ours[name] - theirs[name]) for name in ours)
    print(f"largest difference {worst:.1e} (theirs are means in fp32)")
    sys.exit(worst > 1e-6)


def ways(to_text: np.ndarray, to_image: np.ndarray) -> list[tuple[str, np.ndarray]]:
    return [("image to text", to_text), ("text to image", to_image)]


def by_clip_benchmark(images: np.ndarray, texts: np.ndarray, owner: np.ndarray) -> dict[str, float]:
    """As its `evaluate` does behind the encoders."""
    from clip_benchmark.metrics.zeroshot_retrieval import batchify, recall_at_k  # pyright: ignore

    scores = torch.from_numpy(texts) @ torch.from_numpy(images).T
    positive = torch.zeros_like(scores, dtype=torch.bool)
    positive[torch.arange(len(owner)), torch.from_numpy(owner)] = True
    found = {}
    for way, table, right in (("image to text", scores.T, positive.T), ("text to image", scores, positive)):
        for k in KS:
            recall = batchify(recall_at_k, table, right, BATCH, "cpu", k=k)
            found[f"{way}@{k}"] = (recall > 0).float().mean().item()
    return found


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def shown(found: dict[str, float]) -> str:
    return "  ".join(f"{name} {value:.4f}" for name, value in found.items())


if __name__ == "__main__":
    main()
