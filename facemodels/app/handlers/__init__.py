"""What the app does for a request, one file per tab: plain functions of their arguments."""
