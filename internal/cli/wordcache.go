package cli

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// cacheLife is how long words of a completion are offered without asking again: as long as somebody types one command.
const cacheLife = 10 * time.Second

// wordCache is the file of one list of words. Its name tells nothing of whose they are.
type wordCache struct{ path string }

// wordCache is what is kept of a product's list, for the same server, workspace and caller only.
func (a *app) wordCache(c *client, what string) wordCache {
	dir := a.getenv("XDG_CACHE_HOME")
	if dir == "" && a.getenv("HOME") != "" {
		dir = filepath.Join(a.getenv("HOME"), ".cache")
	}
	if dir == "" {
		return wordCache{}
	}
	session := ""
	if stored, err := a.store().Load(); err == nil && stored != nil {
		session = stored.RefreshToken
	}
	whose := []string{c.base, what, a.workspace(), c.apiKey, session, a.getenv("MGC_ACCESS_TOKEN"), a.getenv("MGC_CLIENT_ID")}
	sum := sha256.Sum256([]byte(strings.Join(whose, "\x00")))
	return wordCache{filepath.Join(dir, "mgc", hex.EncodeToString(sum[:16]))}
}

func (w wordCache) read(now time.Time) ([]string, bool) {
	info, err := os.Stat(w.path)
	if err != nil || now.Sub(info.ModTime()) > cacheLife {
		return nil, false
	}
	data, err := os.ReadFile(w.path)
	if err != nil {
		return nil, false
	}
	return strings.Split(strings.TrimSuffix(string(data), "\n"), "\n"), true
}

// write also removes what is over. A cache that cannot be written is none.
func (w wordCache) write(words []string) {
	if w.path == "" || len(words) == 0 {
		return
	}
	dir, name := filepath.Split(w.path)
	others, _ := filepath.Glob(filepath.Join(dir, "*"))
	for _, other := range others {
		if info, err := os.Stat(other); err == nil && time.Since(info.ModTime()) > cacheLife {
			_ = os.Remove(other)
		}
	}
	_ = writeFile(filepath.Clean(dir), name, []byte(strings.Join(words, "\n")+"\n"))
}
