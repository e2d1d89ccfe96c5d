// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// maxNonces bounds the memory of orders: 4096 × 24 bytes. More live orders than that
// for one host means that something is wrong; see floor.
const maxNonces = 4096

// A record of the log: nonce 16, expiry in Unix ms 8, CRC-32C of those 4.
const nonceRecord = 28

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Nonces is the memory of orders already taken, kept over restarts. It holds no
// clock: an order is refused if its nonce is known, or if it expires no later than
// one that had to be forgotten. So a clock that jumps back lets nothing in again.
// Safe for many goroutines.
type Nonces struct {
	path string

	mu      sync.Mutex // guards what follows
	file    *os.File
	written int  // records in the log
	torn    bool // a write failed: records after it would not be read
	known   map[Nonce]int64
	floor   int64 // Unix ms: the latest expiry among the forgotten
}

// OpenNonces reads the log at path, or begins one. A torn last record is dropped: its
// order was not carried out, because use syncs before it says yes.
func OpenNonces(path string) (*Nonces, error) {
	if err := privateDir(filepath.Dir(path)); err != nil {
		return nil, err
	}
	n := &Nonces{path: path, known: make(map[Nonce]int64)}
	raw, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("read memory of orders: %w", err)
	}
	for ; len(raw) >= nonceRecord; raw = raw[nonceRecord:] {
		r := raw[:nonceRecord]
		if crc32.Checksum(r[:24], castagnoli) == binary.BigEndian.Uint32(r[24:]) {
			n.remember(Nonce(r[:16]), int64(binary.BigEndian.Uint64(r[16:24])))
		}
	}
	return n, n.rewrite()
}

// Close closes the log.
func (n *Nonces) Close() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.file.Close()
}

// use takes a nonce, once. When it returns nil the nonce is on disk.
func (n *Nonces) use(nonce Nonce, expires time.Time) error {
	if n == nil {
		return fmt.Errorf("%w, or not: there is no memory of orders here", ErrReplayed)
	}
	ms := expires.UnixMilli()
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, seen := n.known[nonce]; seen || ms <= n.floor {
		return ErrReplayed
	}
	if n.torn {
		if err := n.rewrite(); err != nil {
			return err
		}
	}
	_, err := n.file.Write(encodeNonce(nonce, ms))
	if err == nil {
		err = n.file.Sync()
	}
	if err != nil {
		n.torn = true
		return fmt.Errorf("keep nonce in %s: %w", n.path, err)
	}
	n.remember(nonce, ms)
	if n.written++; n.written > 4*maxNonces {
		return n.rewrite()
	}
	return nil
}

func encodeNonce(nonce Nonce, ms int64) []byte {
	b := append(make([]byte, 0, nonceRecord), nonce[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(ms))
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// floorNonce marks the log record that keeps the floor; a random nonce is never it.
var floorNonce Nonce

// remember adds a nonce; beyond the bound it forgets the one that expires first.
func (n *Nonces) remember(nonce Nonce, ms int64) {
	if nonce == floorNonce {
		n.floor = max(n.floor, ms)
		return
	}
	n.known[nonce] = ms
	if len(n.known) <= maxNonces {
		return
	}
	first := nonce
	for k, e := range n.known {
		if e < n.known[first] {
			first = k
		}
	}
	n.floor = max(n.floor, n.known[first])
	delete(n.known, first)
}

// rewrite replaces the log by what is known, and opens it for more.
func (n *Nonces) rewrite() error {
	b := encodeNonce(floorNonce, n.floor)
	for k, e := range n.known {
		b = append(b, encodeNonce(k, e)...)
	}
	if err := writePrivate(n.path, b); err != nil {
		return fmt.Errorf("rewrite memory of orders: %w", err)
	}
	file, err := os.OpenFile(n.path, os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("open memory of orders: %w", err)
	}
	if n.file != nil {
		n.file.Close()
	}
	n.file, n.written, n.torn = file, len(n.known)+1, false
	return nil
}
