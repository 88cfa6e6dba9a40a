"""The door of the app, for `python app.py` and for a Space: everything is in `facemodels.app`."""

from facemodels.app import Limits, build_demo, launch, main

__all__ = ["Limits", "build_demo", "launch", "main"]

if __name__ == "__main__":
    main()
