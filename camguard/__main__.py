"""`python -m camguard VERB …` is the command `camguard VERB …`."""

from __future__ import annotations

from camguard.cli import run

if __name__ == "__main__":
    run()
