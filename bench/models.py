"""Parameter shapes of well-known models, computed from their architecture: nothing is downloaded."""

from dataclasses import dataclass, replace
from math import prod

Shapes = list[tuple[int, ...]]


@dataclass(frozen=True)
class Model:
    """A stem (embeddings, say), repeated layers and a head."""

    stem: Shapes
    layers: list[Shapes]
    head: Shapes

    @property
    def shapes(self):
        return [shape for part in (self.stem, *self.layers, self.head) for shape in part]

    @property
    def parameters(self):
        return sum(map(prod, self.shapes))

    def truncated(self, fits):
        """The most layers for which ``fits(model)`` holds, without the stem if that alone is too large, or None."""
        candidates = (
            replace(self, stem=stem, layers=self.layers[:n])
            for stem in (self.stem, [])
            for n in range(len(self.layers), 0, -1)
        )
        return next(filter(fits, candidates), None)

    def part_of(self, whole):
        """In words, how much of ``whole`` is left after truncation; empty for all of it."""
        if self == whole:
            return ""
        stem = "" if self.stem == whole.stem else " without the stem"
        return f"{len(self.layers)} of {len(whole.layers)} layers{stem}"


def _affine(*shape):
    """A weight and the bias along its first dimension; of a norm, both are vectors."""
    return [shape, shape[:1]]


def _gpt2():
    d = 768
    layer = [*_affine(d), (d, 3 * d), (3 * d,), *_affine(d, d), *_affine(d), (d, 4 * d), (4 * d,), (4 * d, d), (d,)]
    return Model([(50257, d), (1024, d)], [layer] * 12, _affine(d))


def _llama():
    d, kv, hidden = 2048, 512, 8192
    layer = [(d, d), (kv, d), (kv, d), (d, d), (hidden, d), (hidden, d), (d, hidden), (d,), (d,)]
    return Model([(128256, d)], [layer] * 16, [(d,)])


def _vit():
    d = 768
    layer = [*_affine(d), *_affine(3 * d, d), *_affine(d, d), *_affine(d), *_affine(4 * d, d), *_affine(d, 4 * d)]
    return Model([(1, 1, d), (1, 197, d), *_affine(d, 3, 16, 16)], [layer] * 12, [*_affine(d), *_affine(1000, d)])


def _resnet50():
    def bottleneck(inputs, width, first):
        convolutions = [(width, inputs, 1, 1), (width, width, 3, 3), (4 * width, width, 1, 1)]
        if first:
            convolutions.append((4 * width, inputs, 1, 1))
        return [shape for c in convolutions for shape in (c, *_affine(c[0]))]

    layers, inputs = [], 64
    for width, depth in ((64, 3), (128, 4), (256, 6), (512, 3)):
        for i in range(depth):
            layers.append(bottleneck(inputs, width, first=i == 0))
            inputs = 4 * width
    return Model([(64, 3, 7, 7), *_affine(64)], layers, _affine(1000, inputs))


MODELS = {
    "gpt2": _gpt2(),
    "llama-3.2-1b": _llama(),
    "resnet50": _resnet50(),
    "vit-b-16": _vit(),
    "tiny": Model([], [[(16,)]] * 1000, []),
}
