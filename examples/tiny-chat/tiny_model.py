"""A chat model of thirty kilobytes: it finds the line of its corpus that fits a question best and writes on from its
first words, each next word drawn by how often it followed the last three. The same conversation always gets the same
answer."""

from __future__ import annotations

import hashlib
import json
import math
import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

END = ""  # stands where a line of the corpus ends
LOYALTY = 200  # how much likelier a word is while the line for this topic still has it to say
MAX_WORDS = 80
LAST = 3  # how many words the next one depends on


def words_of(text: str) -> list[str]:
    """The words of a question, without case and punctuation."""
    return re.findall(r"[a-z0-9]+(?:[.-][a-z0-9]+)*", text.lower())


class TinyModel:
    def __init__(self, weights: dict) -> None:
        self._topics: list[dict] = weights["topics"]  # {"words": {word: weight}, "said": the line's words}
        self._follows: dict[str, dict[str, int]] = weights["follows"]  # "word word word" → next word → count

    @classmethod
    def load(cls, file: Path) -> TinyModel:
        return cls(json.loads(file.read_text("utf-8")))

    @classmethod
    def train(cls, corpus: str) -> TinyModel:
        entries = [line.split(" : ", 1) for line in corpus.splitlines() if line.strip() and not line.startswith("#")]
        asked = [set(words_of(question)) for question, _ in entries]
        known_in = Counter(word for words in asked for word in words)
        follows: dict[str, Counter[str]] = defaultdict(Counter)
        topics = []
        for (_, answer), words in zip(entries, asked, strict=True):
            said = answer.split()
            for n, word in enumerate([*said[LAST:], END]):
                follows[" ".join(said[n : n + LAST])][word] += 1
            # A word that few entries have tells more than one that many have.
            weights = {word: round(math.log(1 + len(entries) / known_in[word]), 4) for word in sorted(words)}
            topics.append({"words": weights, "said": said})
        return cls({"topics": topics, "follows": {before: dict(after) for before, after in sorted(follows.items())}})

    def weights(self) -> dict:
        return {"topics": self._topics, "follows": self._follows}

    @property
    def size(self) -> int:
        """How many sequences of words it knows."""
        return len(self._follows)

    def reply(self, questions: Sequence[str]) -> Iterator[str]:
        """The words of the answer to the last question; the ones before only change what is drawn."""
        draw = random.Random(hashlib.sha256("\n".join(questions).encode("utf-8", "replace")).digest())
        topic = self._topic(set(words_of(questions[-1])), draw)
        last, left = topic["said"][:LAST], Counter([*topic["said"][LAST:], END])
        yield from last
        for _ in range(MAX_WORDS):
            after = self._follows[" ".join(last)]
            word = draw.choices(list(after), [n * LOYALTY if left[word] > 0 else n for word, n in after.items()])[0]
            if word == END:
                return
            yield word
            left[word] -= 1
            last = [*last[1:], word]

    def _topic(self, asked: set[str], draw: random.Random) -> dict:
        def fit(topic: dict) -> float:
            common = sum(weight for word, weight in topic["words"].items() if word in asked)
            return common / math.sqrt(len(topic["words"]))

        best = max(map(fit, self._topics))
        unknown = [topic for topic in self._topics if "unknown" in topic["words"]]
        return draw.choice([topic for topic in self._topics if fit(topic) == best] if best else unknown)
