# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The numbers of an architecture in a GGUF header, checked: a header can say anything."""

from __future__ import annotations

import re

from ansible_collections.inference.host.plugins.module_utils.gguf import GgufError

MAX_LAYERS = 512
"""llama.cpp's own limit (LLAMA_MAX_LAYERS)."""
MAX_NUMBER = 1 << 32
NAME = re.compile(r"^[A-Za-z0-9_.-]{1,64}\Z")


class Values:
    """What the keys `ARCHITECTURE.*` of a header say, with llama.cpp's defaults (load_hparams in llama-model.cpp).

    architecture; layers (all of them); main_layers (without those that predict further tokens); heads, kv_heads and
    feed_forward (one number for each layer). Raises GgufError for values that no model can have.
    """

    def __init__(self, metadata):
        """metadata: as `gguf.read_gguf` returns it."""
        self._metadata = metadata
        self.architecture = metadata.get("general.architecture")
        if not isinstance(self.architecture, str) or not NAME.match(self.architecture):
            raise GgufError("general.architecture is %r; it must be a name" % (self.architecture,))
        self.layers = self.number("block_count", 0)
        if self.layers > MAX_LAYERS:
            raise GgufError("%s.block_count is %d; llama.cpp takes at most %d" % (
                self.architecture, self.layers, MAX_LAYERS))
        self.main_layers = max(0, self.layers - self.number("nextn_predict_layers", 0))
        self.heads = self.per_layer("attention.head_count", [0] * self.layers)
        self.kv_heads = self.per_layer("attention.head_count_kv", self.heads)
        self.feed_forward = self.per_layer("feed_forward_length", [0] * self.layers)

    def number(self, key, default=None):
        """Return a whole number from 0, or `default` where the header has none."""
        value = self._metadata.get("%s.%s" % (self.architecture, key))
        return default if value is None else self._checked(key, value)

    def per_layer(self, key, default):
        """Return one number for each layer; in the header it is a list or one number for all."""
        value = self._metadata.get("%s.%s" % (self.architecture, key))
        if value is None:
            return default
        if not isinstance(value, list):
            return [self._checked(key, value)] * self.layers
        if len(value) < self.layers:
            raise GgufError("%s.%s has %d values; there are %d layers" % (
                self.architecture, key, len(value), self.layers))
        return [self._checked(key, part) for part in value[:self.layers]]

    def pattern(self, key, default):
        """Return for each layer whether the header's pattern takes it, or None.

        The pattern is a list, or a period of which one layer is left out: the last or (as in `default`, which is
        (period, first is left out)) the first. A period of 0 leaves none out.
        """
        value = self._metadata.get("%s.%s" % (self.architecture, key))
        if isinstance(value, list):
            taken = [bool(self._checked(key, part)) for part in value[:self.layers]]
            return taken + [False] * (self.layers - len(taken))
        if default is None:
            return None
        period, first = default
        if value is not None:
            period = self._checked(key, value)
        if not period:
            return [True] * self.layers
        left_out = 0 if first else period - 1
        return [number % period != left_out for number in range(self.layers)]

    def head_length(self, which, sliding):
        """Return how many numbers one head's "key" or "value" has, in layers with a sliding window or in the others."""
        of_all = self.number("attention.%s_length" % which)
        if of_all is None:
            heads = next((heads for heads in self.heads if heads), 0)
            of_all = self.number("embedding_length", 0) // heads if heads else 0
        return self.number("attention.%s_length_swa" % which, of_all) if sliding else of_all

    def _checked(self, key, value):
        if isinstance(value, (bool, int)) and 0 <= value < MAX_NUMBER:
            return int(value)
        raise GgufError("%s.%s is %r; it must be a whole number from 0" % (self.architecture, key, value))
