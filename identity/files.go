// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// ErrExposed is wrapped when a secret file can be read by others.
var ErrExposed = errors.New("secret file is readable by others")

// privateDir makes dir with mode 0700 and narrows an existing one.
func privateDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make folder for keys: %w", err)
	}
	return os.Chmod(dir, 0o700)
}

// writePrivate replaces a file (0600) so that after a crash the old or the new
// content is there, never half of one.
func writePrivate(path string, data []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), ".new-*") // CreateTemp gives 0600
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer os.Remove(tmp.Name()) // after the rename there is nothing to remove
	_, err = tmp.Write(data)
	if err == nil {
		err = tmp.Sync()
	}
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// readPrivate reads a secret and refuses one that group or others can read.
func readPrivate(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("read %s (mode %04o): %w; mend with: chmod 600 %s", path, info.Mode().Perm(), ErrExposed, path)
	}
	return os.ReadFile(path)
}

// loadOrMake reads a secret, or makes and writes it where there is none.
func loadOrMake(path string, make func() ([]byte, error)) ([]byte, error) {
	b, err := readPrivate(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return b, err
	}
	if b, err = make(); err != nil {
		return nil, fmt.Errorf("make %s: %w", path, err)
	}
	return b, writePrivate(path, b)
}
