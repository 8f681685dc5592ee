package store

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

const usersSuffix = ".users"

// Hold keeps a cached artefact from being pruned as long as the path user
// exists. There is no release: who goes away, removes user.
func Hold(artefact, user string) error {
	user, err := filepath.Abs(user)
	if err != nil {
		return err
	}
	dir := filepath.Clean(artefact) + usersSuffix
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("hold %s: %w", artefact, err)
	}
	sum := sha256.Sum256([]byte(user))
	err = os.Symlink(user, filepath.Join(dir, hex.EncodeToString(sum[:8])))
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("hold %s: %w", artefact, err)
	}
	return nil
}

// Held tells whether anyone still uses an artefact, and forgets who is gone.
// When it cannot tell, the artefact counts as held.
func Held(artefact string) bool {
	dir := filepath.Clean(artefact) + usersSuffix
	users, err := os.ReadDir(dir)
	if err != nil {
		return !errors.Is(err, fs.ErrNotExist)
	}
	held := false
	for _, user := range users {
		link := filepath.Join(dir, user.Name())
		if _, err := os.Stat(link); errors.Is(err, fs.ErrNotExist) {
			_ = os.Remove(link)
		} else {
			held = true
		}
	}
	if !held {
		// Fails when someone has just come in, which is what we want.
		held = os.Remove(dir) != nil
	}
	return held
}
