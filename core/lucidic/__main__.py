"""``python -m lucidic``."""

from __future__ import annotations

from lucidic._cli import main


if __name__ == "__main__":
    main()
