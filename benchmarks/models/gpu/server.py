"""A language model on a GPU: the GPT-NeoX of Polyglot-ko (the family of KoAlpaca) at a real size, in half precision.

The weights are random (seeded), so that nothing has to be fetched: what it says has no meaning, and what it computes
is what the real one would compute. One call is answered at a time, as a model server without batching does.
"""

import argparse
import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import torch
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

SIZES = {  # hidden size, layers, heads
    "tiny": (64, 2, 2),
    "1.3b": (2048, 24, 16),
    "5.8b": (4096, 28, 16),
}
WORDS = 30_080


def load(size, device):
    hidden, layers, heads = SIZES[size]
    torch.manual_seed(7)
    config = GPTNeoXConfig(
        vocab_size=WORDS,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=4 * hidden,
        max_position_embeddings=2048,
        bos_token_id=2,
        eos_token_id=2,
        pad_token_id=2,
    )
    torch.set_default_dtype(torch.float16 if device == "cuda" else torch.float32)
    with torch.device(device):
        return GPTNeoXForCausalLM(config).eval()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--size", default="1.3b", choices=SIZES)
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        sys.exit(f"PyTorch {torch.__version__} finds no GPU here: it needs a build with CUDA, and NVIDIA's driver")
    model = load(options.size, options.device)
    name = torch.cuda.get_device_name() if options.device == "cuda" else "CPU"
    turn = threading.Lock()

    @torch.inference_mode()
    def generate(tokens):
        prompt = torch.randint(3, WORDS, (1, 64), device=options.device)
        made = model.generate(prompt, min_new_tokens=tokens, max_new_tokens=tokens, do_sample=False)
        return int(made.shape[1]) - 64

    generate(4)  # the first call builds kernels

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self, plain):
            body = json.dumps(plain).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self):
            self.answer({"device": name, "parameters": sum(each.numel() for each in model.parameters())})

        def do_POST(self):
            asked = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
            began = time.perf_counter()
            with turn:
                tokens = generate(min(int(asked.get("tokens", 128)), 1024))
            self.answer({"tokens": tokens, "seconds": round(time.perf_counter() - began, 3)})

        def log_message(self, *arguments):
            pass

    ThreadingHTTPServer(("127.0.0.1", options.port), Handler).serve_forever()


if __name__ == "__main__":
    main()
