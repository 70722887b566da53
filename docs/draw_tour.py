"""Draws ``docs/pictures/tour.svg``: a short session of the command line, as it really went on this machine.

A gateway in a folder of its own, ``examples/tiny-chat`` with two replicas, one call, one replica killed, the events.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.text import Text

from jupyter_model_service.client import Client
from jupyter_model_service.discovery import find_gateway

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "docs" / "pictures" / "tour.svg"
ASK = (
    'curl -sN "$(jupyter model-service get-endpoint chat)api/chat" -H "Authorization: Bearer $(cat token.txt)" \\\n'
    '    --json \'{"messages": [{"role": "user", "content": "Hello!"}]}\''
)


def main() -> None:
    console = Console(record=True, width=118, file=open(os.devnull, "w"))  # noqa: SIM115 - only the record counts
    with tempfile.TemporaryDirectory() as folder:
        environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "JUPYTER_DATA_DIR": str(Path(folder) / "jupyter"),
            "FORCE_COLOR": "1",
            "COLUMNS": "118",
        }
        (Path(folder) / "tiny-chat").symlink_to(ROOT / "examples" / "tiny-chat")

        def show(command: str, shown: str | None = None, *, lines: int = 40, told: bool = True) -> None:
            merged = subprocess.STDOUT if told else subprocess.DEVNULL
            done = subprocess.run(
                command, shell=True, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=merged, text=True
            )
            console.print(Text("$ ", style="bold green") + Text(shown or command, style="bold"))
            for line in done.stdout.rstrip().splitlines()[-lines:]:
                console.print(Text.from_ansi(line.replace(folder, "~")))

        try:
            subprocess.run(
                ["jupyter-model-service", "gateway", "--background"], env=environment, check=True, capture_output=True
            )
            show("jupyter model-service create tiny-chat -n chat --replicas 2", lines=12)
            show("jupyter model-service generate-token chat --output token.txt")
            show(ASK)
            found = find_gateway(Path(folder) / "jupyter" / "model-service")
            assert found is not None
            with Client(found.url, found.token) as client:
                victim = client.get("chat").replica_list[0].pid
                assert victim is not None
                os.kill(victim, signal.SIGKILL)
                console.print(Text("$ ", style="bold green") + Text(f"kill -9 {victim}", style="bold"))
                while client.get("chat").restarts < 1:
                    time.sleep(0.05)
                client.wait_ready("chat", timeout=60)
            show("jupyter model-service events chat --tail 7")
            show("jupyter model-service info chat", lines=24)
        finally:
            subprocess.run(["jupyter-model-service", "gateway", "--stop"], env=environment, capture_output=True)
    PICTURE.parent.mkdir(exist_ok=True)
    drawing = console.export_svg(title="jupyter model-service")
    # The reader's own fonts: a picture that fetches from a third party tells it who reads.
    PICTURE.write_text(re.sub(r"@font-face \{.*?\}\s*", "", drawing, flags=re.DOTALL))


if __name__ == "__main__":
    main()
