// Package backup writes what a platform consists of into one file, and puts it back: mke-api's database, the objects of customers'
// clusters in the management cluster, and the record of a local cloud.
package backup

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"filippo.io/age"
)

// format is the version of the file's layout.
const format = 1

const (
	manifestName = "manifest.json"
	// ageMagic is what every file begins with that age has encrypted.
	ageMagic = "age-encryption.org/v1"
)

// workFactor is the logarithm of what a guess of the passphrase costs: about a second. Tests take less.
var workFactor = 18

// Manifest tells what a backup holds. It comes first in the file.
type Manifest struct {
	Format    int       `json:"format"`
	CreatedAt time.Time `json:"created_at"`
	Version   string    `json:"mke_version"`
	Region    string    `json:"region"`
	Database  Database  `json:"database"`
	Clusters  int       `json:"clusters"` // that exist
	Objects   int       `json:"objects"`  // of the management cluster
	Parts     []Part    `json:"parts"`
}

// Part is a file in the backup.
type Part struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// Pack writes a backup of the files in dir. The file is there as a whole or not at all, and only its owner may read it. With a passphrase it
// is encrypted.
func Pack(path, passphrase, dir string, m Manifest) error {
	m.Format = format
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		part, err := describe(dir, e.Name())
		if err != nil {
			return err
		}
		m.Parts = append(m.Parts, part)
	}
	file, err := os.CreateTemp(filepath.Dir(path), ".mke-backup-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	defer file.Close()
	if err := pack(file, passphrase, dir, &m); err != nil {
		return err
	}
	if err := errors.Join(file.Sync(), file.Close()); err != nil {
		return err
	}
	return os.Rename(file.Name(), path)
}

func describe(dir, name string) (Part, error) {
	file, err := os.Open(filepath.Join(dir, name))
	if err != nil {
		return Part{}, err
	}
	defer file.Close()
	hash := sha256.New()
	size, err := io.Copy(hash, file)
	return Part{name, size, hex.EncodeToString(hash.Sum(nil))}, err
}

func pack(out io.Writer, passphrase, dir string, m *Manifest) error {
	if passphrase != "" {
		recipient, err := age.NewScryptRecipient(passphrase)
		if err != nil {
			return err
		}
		recipient.SetWorkFactor(workFactor)
		sealed, err := age.Encrypt(out, recipient)
		if err != nil {
			return err
		}
		if err := packPlain(sealed, dir, m); err != nil {
			return err
		}
		return sealed.Close()
	}
	return packPlain(out, dir, m)
}

func packPlain(out io.Writer, dir string, m *Manifest) error {
	zipped := gzip.NewWriter(out)
	archive := tar.NewWriter(zipped)
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	if err := archive.WriteHeader(&tar.Header{Name: manifestName, Mode: 0o600, Size: int64(len(text)), ModTime: m.CreatedAt}); err != nil {
		return err
	}
	if _, err := archive.Write(text); err != nil {
		return err
	}
	for _, p := range m.Parts {
		if err := packPart(archive, dir, p, m.CreatedAt); err != nil {
			return err
		}
	}
	return errors.Join(archive.Close(), zipped.Close())
}

func packPart(archive *tar.Writer, dir string, p Part, at time.Time) error {
	file, err := os.Open(filepath.Join(dir, p.Name))
	if err != nil {
		return err
	}
	defer file.Close()
	if err := archive.WriteHeader(&tar.Header{Name: p.Name, Mode: 0o600, Size: p.Size, ModTime: at}); err != nil {
		return err
	}
	_, err = io.Copy(archive, file)
	return err
}

// Unpack puts the parts of a backup into dir. It returns an error unless every part is there and is what was written.
func Unpack(path, passphrase, dir string) (*Manifest, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	plain, err := open(bufio.NewReader(file), passphrase)
	if err != nil {
		return nil, err
	}
	m, err := unpack(plain, dir)
	if err != nil {
		return nil, fmt.Errorf("%s is damaged or no backup: %w", path, err)
	}
	return m, nil
}

func open(in *bufio.Reader, passphrase string) (io.Reader, error) {
	if start, _ := in.Peek(len(ageMagic)); !bytes.Equal(start, []byte(ageMagic)) {
		return in, nil // what it is, if it is anything, unpack says
	}
	if passphrase == "" {
		return nil, errors.New("the backup is encrypted: --passphrase-file is needed")
	}
	identity, err := age.NewScryptIdentity(passphrase)
	if err != nil {
		return nil, err
	}
	plain, err := age.Decrypt(in, identity)
	if err != nil {
		return nil, fmt.Errorf("the passphrase does not fit: %w", err)
	}
	return plain, nil
}

func unpack(in io.Reader, dir string) (*Manifest, error) {
	zipped, err := gzip.NewReader(in)
	if err != nil {
		return nil, err
	}
	archive := tar.NewReader(zipped)
	header, err := archive.Next()
	if err != nil {
		return nil, err
	}
	if header.Name != manifestName {
		return nil, errors.New("it does not begin with a manifest")
	}
	m := &Manifest{}
	if err := json.NewDecoder(archive).Decode(m); err != nil {
		return nil, err
	}
	if m.Format != format {
		return nil, fmt.Errorf("its format is %d, this program knows %d", m.Format, format)
	}
	for _, p := range m.Parts {
		if err := unpackPart(archive, dir, p); err != nil {
			return nil, fmt.Errorf("%s: %w", p.Name, err)
		}
	}
	if _, err := io.Copy(io.Discard, zipped); err != nil { // its checksum comes last
		return nil, err
	}
	return m, nil
}

func unpackPart(archive *tar.Reader, dir string, p Part) error {
	if p.Name != filepath.Base(p.Name) || p.Name == "." || p.Name == ".." {
		return errors.New("not a name of ours")
	}
	header, err := archive.Next()
	if err != nil {
		return err
	}
	if header.Name != p.Name || header.Size != p.Size {
		return errors.New("not what the manifest says")
	}
	file, err := os.OpenFile(filepath.Join(dir, p.Name), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()
	hash := sha256.New()
	if _, err := io.Copy(io.MultiWriter(file, hash), archive); err != nil {
		return err
	}
	if hex.EncodeToString(hash.Sum(nil)) != p.SHA256 {
		return errors.New("its checksum is wrong")
	}
	return file.Close()
}
