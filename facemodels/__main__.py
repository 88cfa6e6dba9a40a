"""`python -m facemodels`."""

from facemodels.cli import main

raise SystemExit(main())
