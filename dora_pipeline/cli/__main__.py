"""`python -m dora_pipeline.cli` is the `dora` command."""

from dora_pipeline.cli.main import main

main()
