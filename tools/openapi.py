"""Print the server's OpenAPI document, of which the web page's types are made."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import urllib.request


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "mezzotint", "serve", "--port", "0", "--data-dir", folder]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as server:
            try:
                assert server.stdout is not None
                url = server.stdout.readline().split()[-1]
                with urllib.request.urlopen(f"{url}/openapi.json", timeout=30) as answer:
                    sys.stdout.write(answer.read().decode())
            finally:
                server.terminate()


if __name__ == "__main__":
    main()
