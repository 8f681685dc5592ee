package node

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"k8s.io/mount-utils"
	"k8s.io/utils/exec"
)

// blankHead and blankTail are what is read of a device before it is taken for empty.
const (
	blankHead = 4 << 20
	blankTail = 1 << 20
)

// The file systems that volumes may have.
const (
	ext4 = "ext4"
	xfs  = "xfs"
)

// The magic number of an xfs, and where its superblock says that it is being made.
const (
	xfsMagic      = "XFSB"
	xfsInProgress = 126
)

// prepare returns the file system to mount, ext4 if nothing is wanted and none is there. It makes sure that mounting does no harm: a
// device is formatted only if it is empty, and an ext4 smaller than its device is grown before it is mounted, which needs fewer rights
// than later.
func (n *Node) prepare(device, wanted string) (string, error) {
	empty, err := blank(device)
	if err == nil && !empty {
		empty, err = unfinished(device)
	}
	if err != nil || empty {
		return cmp.Or(wanted, ext4), err
	}
	format, err := n.mounter.GetDiskFormat(device)
	switch {
	case err != nil:
		return "", fmt.Errorf("what is on %s: %w", device, err)
	case format == "":
		return "", status.Error(codes.FailedPrecondition, "the volume holds data but no file system; it is not formatted, so that nothing gets lost")
	case wanted != "" && format != wanted:
		return "", status.Errorf(codes.FailedPrecondition, "the volume holds %s, not the wanted %s", format, wanted)
	case format == ext4:
		err = n.growUnmounted(device)
	}
	return format, err
}

// blank is true if the beginning and the end of a device are zeros.
func blank(device string) (bool, error) {
	f, err := os.Open(device)
	if err != nil {
		return false, err
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return false, err
	}
	for _, part := range []struct{ start, length int64 }{{0, min(blankHead, size)}, {max(0, size-blankTail), min(blankTail, size)}} {
		if zeros, err := allZeros(io.NewSectionReader(f, part.start, part.length)); err != nil || !zeros {
			return false, err
		}
	}
	return true, nil
}

// unfinished is true for an xfs whose making was cut short, as its superblock says until the end; it is made to look empty.
func unfinished(device string) (bool, error) {
	f, err := os.OpenFile(device, os.O_RDWR|os.O_SYNC, 0)
	if err != nil {
		return false, err
	}
	defer f.Close()
	sector := make([]byte, 512)
	if _, err := io.ReadFull(f, sector); err != nil || string(sector[:4]) != xfsMagic || sector[xfsInProgress] == 0 {
		return false, err
	}
	_, err = f.WriteAt(make([]byte, len(sector)), 0)
	return err == nil, err
}

func allZeros(r io.Reader) (bool, error) {
	buffer, zeros := make([]byte, 64<<10), make([]byte, 64<<10)
	for {
		n, err := io.ReadFull(r, buffer)
		if !bytes.Equal(buffer[:n], zeros[:n]) {
			return false, nil
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return true, nil
		}
		if err != nil {
			return false, err
		}
	}
}

// growUnmounted makes an ext4 as large as its device.
func (n *Node) growUnmounted(device string) error {
	if room, err := n.room(device); err != nil || !room {
		return err
	}
	if out, err := n.mounter.Exec.Command("e2fsck", "-f", "-p", device).CombinedOutput(); err != nil && !corrected(err) {
		return fmt.Errorf("check %s before it grows: %w: %s", device, err, bytes.TrimSpace(out))
	}
	if out, err := n.mounter.Exec.Command("resize2fs", device).CombinedOutput(); err != nil {
		return fmt.Errorf("grow %s: %w: %s", device, err, bytes.TrimSpace(out))
	}
	return nil
}

// corrected is e2fsck's word for errors that are no more.
func corrected(err error) bool {
	var e exec.ExitError
	return errors.As(err, &e) && e.ExitStatus() == 1
}

// growMounted makes a mounted file system as large as its device.
func (n *Node) growMounted(device, path string) error {
	if room, err := n.room(device); err != nil || !room {
		return err
	}
	_, err := mount.NewResizeFs(n.mounter.Exec).Resize(device, path)
	if err != nil && strings.Contains(err.Error(), "Permission denied") {
		// The kernel lets nobody without CAP_SYS_RESOURCE grow a mounted ext4, and containers as VMs may lack it.
		return status.Error(codes.FailedPrecondition, "this host does not let a mounted ext4 grow; it grows when its Pod starts the next time (xfs grows at once)")
	}
	return err
}

// room is true if a device is larger than the file system on it.
func (n *Node) room(device string) (bool, error) {
	size, err := deviceSize(device)
	if err != nil {
		return false, err
	}
	used, block, err := superblock(device)
	return err == nil && used+block <= size, err
}

// superblock returns the size of an ext4 or xfs, and of its blocks, in bytes: quicker than the start of a program.
func superblock(device string) (size, block int64, err error) {
	f, err := os.Open(device)
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	b := make([]byte, 2048)
	if _, err := io.ReadFull(f, b); err != nil {
		return 0, 0, err
	}
	if string(b[:4]) == xfsMagic {
		block = int64(binary.BigEndian.Uint32(b[4:]))
		return block * int64(binary.BigEndian.Uint64(b[8:])), block, nil
	}
	ext := b[1024:]
	if binary.LittleEndian.Uint16(ext[56:]) != 0xEF53 {
		return 0, 0, fmt.Errorf("%s holds neither ext4 nor xfs", device)
	}
	block = 1024 << binary.LittleEndian.Uint32(ext[24:])
	blocks := int64(binary.LittleEndian.Uint32(ext[4:])) | int64(binary.LittleEndian.Uint32(ext[0x150:]))<<32
	return block * blocks, block, nil
}
