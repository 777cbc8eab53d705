"""What the running fleet manager has, as the test in Rust wrote it down."""

import hashlib
import json
import os

with open(os.environ["GANTRY_SCENE"], encoding="utf-8") as file:
    SCENE = json.load(file)

CLIENTS = SCENE["clients"]
APPROVED = "approved"


def one_in(how_many, *things):
    """Picks one in so many by what the things are, so that the same case is picked each time."""
    return int.from_bytes(hashlib.sha256(repr(things).encode()).digest()[:4], "big") % how_many == 0
