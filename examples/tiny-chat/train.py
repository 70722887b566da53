"""Makes weights.json from corpus.txt, both beside this file. Run it after you changed the corpus."""

from __future__ import annotations

import json
from pathlib import Path

from tiny_model import TinyModel

FOLDER = Path(__file__).resolve().parent


def main() -> None:
    model = TinyModel.train((FOLDER / "corpus.txt").read_text("utf-8"))
    text = json.dumps(model.weights(), ensure_ascii=False, indent=1) + "\n"
    (FOLDER / "weights.json").write_text(text, "utf-8")
    print(f"weights.json: {model.size} sequences, {len(text)} bytes")


if __name__ == "__main__":
    main()
