package node

import (
	"os"
	"path/filepath"
	"testing"
)

// image is a file that plays a device.
func image(t *testing.T, size int64, parts map[int64]string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "device")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for at, text := range parts {
		if _, err := f.WriteAt([]byte(text), at); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestBlank(t *testing.T) {
	const size = 10 << 30
	for name, tt := range map[string]struct {
		size  int64
		parts map[int64]string
		blank bool
	}{
		"new":            {size, nil, true},
		"tiny":           {4096, nil, true},
		"head":           {size, map[int64]string{0: "x"}, false},
		"end of head":    {size, map[int64]string{blankHead - 1: "x"}, false},
		"tail":           {size, map[int64]string{size - 1: "x"}, false},
		"partition":      {size, map[int64]string{510: "\x55\xaa"}, false},
		"tiny with data": {5000, map[int64]string{4999: "x"}, false},
	} {
		if got, err := blank(image(t, tt.size, tt.parts)); got != tt.blank || err != nil {
			t.Errorf("%s: blank %v, %v", name, got, err)
		}
	}
}

// TestUnfinished: a node plugin that died while it made an xfs must not leave a volume that can never be used.
func TestUnfinished(t *testing.T) {
	for name, tt := range map[string]struct {
		parts      map[int64]string
		unfinished bool
	}{
		"in progress": {map[int64]string{0: xfsMagic, xfsInProgress: "\x01"}, true},
		"finished":    {map[int64]string{0: xfsMagic}, false},
		"other data":  {map[int64]string{xfsInProgress: "\x01"}, false},
	} {
		device := image(t, 1<<20, tt.parts)
		if got, err := unfinished(device); got != tt.unfinished || err != nil {
			t.Errorf("%s: unfinished %v, %v", name, got, err)
		}
		if empty, err := blank(device); empty != tt.unfinished || err != nil {
			t.Errorf("%s: blank afterwards %v, %v", name, empty, err)
		}
	}
}

func TestSuperblock(t *testing.T) {
	for name, tt := range map[string]struct {
		parts       map[int64]string
		size, block int64
	}{
		"xfs":  {map[int64]string{0: xfsMagic + "\x00\x00\x10\x00\x00\x00\x00\x00\x00\x28\x00\x00"}, 10 << 30, 4096},
		"ext4": {map[int64]string{1028: "\x00\x00\x28\x00", 1048: "\x02", 1080: "\x53\xef"}, 10 << 30, 4096},
	} {
		size, block, err := superblock(image(t, 1<<20, tt.parts))
		if size != tt.size || block != tt.block || err != nil {
			t.Errorf("%s: %d bytes in blocks of %d, %v", name, size, block, err)
		}
	}
	if _, _, err := superblock(image(t, 1<<20, nil)); err == nil {
		t.Error("an empty device has a file system")
	}
}
