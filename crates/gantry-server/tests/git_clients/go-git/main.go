// Follows a repository with go-git. The command line that all these programs share: ../main.rs.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/config"
	"github.com/go-git/go-git/v5/plumbing/storer"
	"github.com/go-git/go-git/v5/plumbing/transport"
	"github.com/go-git/go-git/v5/plumbing/transport/http"
	"github.com/go-git/go-git/v5/storage/memory"
)

const refused = 3

func main() {
	err := follow(os.Args[1], os.Args[2:])
	if err == nil {
		return
	}
	fmt.Fprintln(os.Stderr, err)
	if errors.Is(err, transport.ErrAuthenticationRequired) {
		os.Exit(refused)
	}
	os.Exit(1)
}

func follow(command string, arguments []string) error {
	ca, err := os.ReadFile(os.Getenv("GANTRY_GIT_CA"))
	if err != nil {
		return err
	}
	access := &http.BasicAuth{
		Username: os.Getenv("GANTRY_GIT_USERNAME"),
		Password: os.Getenv("GANTRY_GIT_TOKEN"),
	}
	switch command {
	case "list":
		return list(arguments[0], access, ca)
	case "clone":
		options := &git.CloneOptions{URL: arguments[0], Auth: access, CABundle: ca}
		if len(arguments) > 2 {
			if options.Depth, err = strconv.Atoi(arguments[2]); err != nil {
				return err
			}
		}
		_, err = git.PlainClone(arguments[1], false, options)
		return err
	case "fetch":
		return fetch(arguments[0], access, ca)
	case "cat":
		return cat(arguments[0], arguments[1])
	}
	return fmt.Errorf("unknown command %q", command)
}

func list(url string, access transport.AuthMethod, ca []byte) error {
	remote := git.NewRemote(memory.NewStorage(), &config.RemoteConfig{Name: "origin", URLs: []string{url}})
	references, err := remote.List(&git.ListOptions{Auth: access, CABundle: ca})
	if err != nil {
		return err
	}
	branches := memory.ReferenceStorage{}
	for _, reference := range references {
		branches[reference.Name()] = reference
	}
	for name := range branches {
		reference, err := storer.ResolveReference(branches, name)
		if err != nil {
			return err
		}
		fmt.Println(reference.Hash(), name)
	}
	return nil
}

func fetch(folder string, access transport.AuthMethod, ca []byte) error {
	repository, err := git.PlainOpen(folder)
	if err != nil {
		return err
	}
	worktree, err := repository.Worktree()
	if err != nil {
		return err
	}
	err = worktree.Pull(&git.PullOptions{Auth: access, CABundle: ca})
	if errors.Is(err, git.NoErrAlreadyUpToDate) {
		return nil
	}
	return err
}

func cat(folder string, path string) error {
	repository, err := git.PlainOpen(folder)
	if err != nil {
		return err
	}
	head, err := repository.Head()
	if err != nil {
		return err
	}
	commit, err := repository.CommitObject(head.Hash())
	if err != nil {
		return err
	}
	file, err := commit.File(path)
	if err != nil {
		return err
	}
	reader, err := file.Reader()
	if err != nil {
		return err
	}
	defer reader.Close()
	_, err = io.Copy(os.Stdout, reader)
	return err
}
