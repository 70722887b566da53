"""Makes a GPT-NeoX model and tokenizer of a few hundred kilobytes, in the place of the real KoAlpaca 5.8B, so that
the tutorial runs on any CPU. The architecture and the file layout are the real ones; the weights are random (seeded),
so what it says has no meaning."""

import argparse
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM, PreTrainedTokenizerFast

FOLDER = Path(__file__).resolve().parent / "KoAlpaca-Ployglot-5.8B"

# What the tokenizer learns its pieces from.
SENTENCES = [
    "### 맥락: 코알파카는 한국어 모델을 기반으로 개발한 모델입니다.",
    "### 명령어: 친절한 챗봇으로서 간단하고 짧게 답해주세요.",
    "### 질문: 안녕하세요, 오늘 날씨는 어떤가요?",
    "### 답변: 안녕하세요! 오늘은 맑고 따뜻한 날씨입니다.",
    "### 질문: 모델 서비스는 무엇인가요?",
    "### 답변: 모델 폴더를 여러 사람이 부를 수 있는 주소로 만들어 주는 것입니다.",
    "### 질문: 고맙습니다. 내일 다시 만나요.",
    "### 답변: 천만에요. 언제든지 다시 물어보세요. 좋은 하루 보내세요!",
    "Hello, I am a very small model. EleutherAI Polyglot-ko KoAlpaca ChatKoAlpaca Beomi AI.",
]

# In Polyglot-ko, too, <|endoftext|> is token 2: the tutorial's API server relies on it.
SPECIAL = ["<|unused0|>", "<|unused1|>", "<|endoftext|>", "<|unknown|>"]


def make_tokenizer() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE(unk_token="<|unknown|>"))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.BpeTrainer(vocab_size=512, special_tokens=SPECIAL, show_progress=False)
    tokenizer.train_from_iterator(SENTENCES, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|endoftext|>",
        pad_token="<|endoftext|>",
        unk_token="<|unknown|>",
        model_max_length=2048,
    )


def make_model(words: int, seed: int) -> GPTNeoXForCausalLM:
    torch.manual_seed(seed)
    config = GPTNeoXConfig(
        vocab_size=words,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=2048,
        bos_token_id=2,
        eos_token_id=2,
        pad_token_id=2,
    )
    return GPTNeoXForCausalLM(config)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=FOLDER, help="where to (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=58)
    arguments = parser.parse_args()
    tokenizer = make_tokenizer()
    model = make_model(len(tokenizer), arguments.seed)
    model.save_pretrained(arguments.folder)
    tokenizer.save_pretrained(arguments.folder)
    print(f"{arguments.folder}: {model.num_parameters()} parameters, {len(tokenizer)} tokens")


if __name__ == "__main__":
    main()
