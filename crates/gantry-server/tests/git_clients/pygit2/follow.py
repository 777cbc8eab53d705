"""Follows a repository with libgit2. The command line that all these programs share: ../main.rs."""

import os
import sys

import pygit2

REFUSED = 3


class Credentials(pygit2.RemoteCallbacks):
    """Offers user name and token once; libgit2 asks again when they were refused."""

    def __init__(self):
        super().__init__()
        self.offered = False
        self.refused = False

    def credentials(self, url, username_from_url, allowed_types):
        if self.offered:
            self.refused = True
            raise pygit2.GitError("the server refused the user name and token")
        self.offered = True
        return pygit2.UserPass(os.environ["GANTRY_GIT_USERNAME"], os.environ["GANTRY_GIT_TOKEN"])


def list_references(credentials, url):
    remote = pygit2.Repository().remotes.create_anonymous(url)
    for head in remote.list_heads(callbacks=credentials):
        print(head.oid, head.name)


def clone(credentials, url, folder, depth="0"):
    pygit2.clone_repository(url, folder, callbacks=credentials, depth=int(depth))


def fetch(credentials, folder):
    repository = pygit2.Repository(folder)
    repository.remotes["origin"].fetch(callbacks=credentials)
    newest = repository.references["refs/remotes/origin/main"].target
    analysis, _ = repository.merge_analysis(newest)
    if analysis & pygit2.enums.MergeAnalysis.UP_TO_DATE:
        return
    if not analysis & pygit2.enums.MergeAnalysis.FASTFORWARD:
        raise pygit2.GitError("origin/main does not follow main")
    repository.checkout_tree(repository[newest])
    repository.references["refs/heads/main"].set_target(newest)


def cat(_, folder, path):
    tree = pygit2.Repository(folder).head.peel(pygit2.Tree)
    sys.stdout.buffer.write(tree[path].data)


COMMANDS = {"list": list_references, "clone": clone, "fetch": fetch, "cat": cat}


def main():
    pygit2.settings.set_ssl_cert_locations(os.environ["GANTRY_GIT_CA"], None)
    credentials = Credentials()
    try:
        COMMANDS[sys.argv[1]](credentials, *sys.argv[2:])
    except pygit2.GitError as error:
        print(error, file=sys.stderr)
        return REFUSED if credentials.refused else 1
    return 0


sys.exit(main())
