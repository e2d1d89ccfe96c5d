// SPDX-License-Identifier: Apache-2.0

package misp

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"github.com/ringwall/ringwall/feed"
)

// Manifest is the name of the list of events in a feed folder.
const Manifest = "manifest.json"

// maxManifest: the CIRCL OSINT feed's is below 4 MB; 64 MiB is room for a hundred thousand events.
const maxManifest = 64 << 20

// ReadDir reads a feed folder: manifest.json names the events, each in <uuid>.json.
// Events come in the order of their uuid. An event that is missing or broken is a line
// in the report, since the rest stands by itself; without a readable manifest there is
// an error for the whole. Names that are not a uuid are refused, so a manifest cannot
// lead out of the folder; give os.OpenRoot(dir).FS() to stop symbolic links too.
func ReadDir(name string, dir fs.FS, yield feed.Yield) (feed.Report, error) {
	rep := feed.Report{Feed: name}
	ids, err := manifest(dir)
	if err != nil {
		return rep, rep.Wrap(fmt.Errorf("%s: %w", Manifest, err))
	}
	for _, id := range ids {
		if !uuid(id) {
			rep.Read++
			rep.Fail(0, "manifest entry", fmt.Errorf("%s is not a uuid", feed.Quote(id)))
			continue
		}
		if err := readEvent(&rep, dir, id+".json", yield); err != nil {
			var y yieldError
			if errors.As(err, &y) {
				return rep, y.error
			}
			rep.Read++
			rep.Fail(0, id+".json", err)
		}
	}
	return rep, rep.Close()
}

// readEvent yields an event whole or not at all.
func readEvent(rep *feed.Report, dir fs.FS, file string, yield feed.Yield) error {
	f, err := dir.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	var held []feed.Indicator
	before := rep.Accepted
	err = read(rep, file, f, func(i feed.Indicator) error { held = append(held, i); return nil })
	if err != nil {
		rep.Accepted = before
		return err
	}
	for _, i := range held {
		if err := yield(i); err != nil {
			return yieldError{err}
		}
	}
	return nil
}

func manifest(dir fs.FS) ([]string, error) {
	f, err := dir.Open(Manifest)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := feed.Sniff(io.LimitReader(f, maxManifest))
	if err != nil {
		return nil, err
	}
	if head, _ := b.Peek(3); string(head) == "\xef\xbb\xbf" {
		b.Discard(3)
	}
	j := feed.NewJSON(b)
	t, err := j.Token()
	if err != nil {
		return nil, err
	}
	if t != json.Delim('{') {
		return nil, errors.New("not an object of events by uuid")
	}
	var ids []string
	err = j.Object(func(id string) error {
		ids = append(ids, id)
		return j.Skip()
	})
	slices.Sort(ids)
	return slices.Compact(ids), err
}

// uuid holds a name to 8-4-4-4-12 hex digits.
func uuid(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		c := s[i] | 0x20
		switch {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if s[i] != '-' {
				return false
			}
		case !(c >= '0' && c <= '9' || c >= 'a' && c <= 'f'):
			return false
		}
	}
	return true
}
