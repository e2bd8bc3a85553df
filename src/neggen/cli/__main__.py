"""``python -m neggen.cli`` is the command ``neggen``."""

from neggen.cli import main

main()
