package gateway

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	// maxSpool is how much may wait for mke-api: some 100,000 records.
	maxSpool    = 64 << 20
	spoolSuffix = ".ndjson"
)

var auditRecords = prometheus.NewCounterVec(prometheus.CounterOpts{
	Name: "mke_gateway_audit_records_total",
	Help: "Audit records by what became of them. Those that are lost are in the log only; repeated refusals of one caller for too many requests are not recorded.",
}, []string{"outcome"})

var (
	delivered = auditRecords.WithLabelValues("delivered")
	lost      = auditRecords.WithLabelValues("lost")
	skipped   = auditRecords.WithLabelValues("skipped")
)

// spool keeps records in files until they are delivered, at least once. A gateway that is killed loses none: the next one in the same
// folder goes on.
type spool struct {
	dir   string
	limit int64
	log   *slog.Logger
	lock  *os.File
	wake  chan struct{}

	mu     sync.Mutex
	file   *os.File // of the newest records, nil until there are any
	number int      // of the next file
	size   int64    // of all files
}

// openSpool takes a folder over, with what waits in it. The lock ends with the process.
func openSpool(dir string, limit int64, log *slog.Logger) (*spool, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, fmt.Errorf("%s belongs to another gateway that runs: %w", dir, err)
	}
	s := &spool{dir: dir, limit: limit, log: log, lock: lock, wake: make(chan struct{}, 1)}
	files, err := s.files()
	if err != nil {
		return nil, err
	}
	for _, name := range files {
		info, err := os.Stat(name)
		if err != nil {
			return nil, err
		}
		s.size += info.Size()
		n, err := strconv.Atoi(strings.TrimSuffix(filepath.Base(name), spoolSuffix))
		if err != nil {
			return nil, fmt.Errorf("%s is not a file of audit records", name)
		}
		s.number = n + 1
	}
	s.hint()
	return s, nil
}

func (s *spool) files() ([]string, error) {
	files, err := filepath.Glob(filepath.Join(s.dir, "*"+spoolSuffix))
	slices.Sort(files)
	return files, err
}

func (s *spool) hint() {
	select {
	case s.wake <- struct{}{}:
	default: // it is to look already
	}
}

// add takes a record of one line.
func (s *spool) add(line []byte) error {
	defer s.hint()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.size+int64(len(line))+1 > s.limit {
		return errors.New("too much is waiting for mke-api")
	}
	if s.file == nil {
		file, err := os.OpenFile(filepath.Join(s.dir, fmt.Sprintf("%010d%s", s.number, spoolSuffix)), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
		if err != nil {
			return err
		}
		s.file = file
		s.number++
	}
	n, err := s.file.Write(append(line, '\n'))
	s.size += int64(n)
	if err != nil {
		s.close() // the next record does not continue a line that is cut off
	}
	return err
}

func (s *spool) close() {
	if s.file != nil {
		_ = s.file.Close()
		s.file = nil
	}
}

// waiting returns the files with what is there now, oldest first. What comes later goes into another one.
func (s *spool) waiting() ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.close()
	return s.files()
}
