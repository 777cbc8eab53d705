"""Follows a repository with dulwich. The command line that all these programs share: ../main.rs."""

import os
import sys

from dulwich import porcelain
from dulwich.client import HTTPUnauthorized
from dulwich.config import StackedConfig
from dulwich.object_store import tree_lookup_path
from dulwich.repo import Repo

CA = os.environ["GANTRY_GIT_CA"].encode()
ACCESS = {
    "username": os.environ["GANTRY_GIT_USERNAME"],
    "password": os.environ["GANTRY_GIT_TOKEN"],
}
REFUSED = 3


def configuration():
    stack = StackedConfig.default()
    stack.backends[0].set(b"http", b"sslCAInfo", CA)
    return stack


def list_references(url):
    for name, commit in porcelain.ls_remote(url, config=configuration(), **ACCESS).refs.items():
        print(commit.decode(), name.decode())


def clone(url, folder, depth=None):
    depth = depth and int(depth)
    repository = porcelain.clone(url, folder, depth=depth, config=configuration(), **ACCESS)
    own = repository.get_config()
    own.set(b"http", b"sslCAInfo", CA)
    own.write_to_path()


def fetch(folder):
    porcelain.pull(folder, refspecs="refs/heads/main", ff_only=True, **ACCESS)


def cat(folder, path):
    repository = Repo(folder)
    tree = repository[repository.head()].tree
    _, blob = tree_lookup_path(repository.__getitem__, tree, path.encode())
    sys.stdout.buffer.write(repository[blob].data)


COMMANDS = {"list": list_references, "clone": clone, "fetch": fetch, "cat": cat}

try:
    COMMANDS[sys.argv[1]](*sys.argv[2:])
except HTTPUnauthorized as error:
    print(error, file=sys.stderr)
    sys.exit(REFUSED)
