// SPDX-License-Identifier: Apache-2.0

package known

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ringwall/ringwall/verdict"
)

// maxHashes bounds one host's lists: 1 M entries are 40 MB. Larger lists
// belong to the reputation store.
const maxHashes = 1 << 20

// listed is one entry of a hash list.
type listed struct {
	sum    [32]byte
	colour verdict.Colour
	note   int32 // index into notes, 0 is none
}

// hashList is sorted by sum. It does not change.
type hashList struct {
	entries []listed
	notes   []string
}

// readHashes reads lists of lines "SHA256 white|black [note]"; what follows #
// is a comment. Lines that are wrong are named in the error; the list holds
// all others, so that a typing error does not switch the list off.
func readHashes(files []string) (*hashList, error) {
	h := &hashList{notes: []string{""}}
	noteIndex := map[string]int32{}
	var wrong []error
	for _, file := range files {
		n := 0
		err := lines(file, func(line string) error {
			n++
			line, _, _ = strings.Cut(line, "#")
			f := strings.Fields(line)
			if len(f) == 0 {
				return nil
			}
			e, ok := parseListed(f)
			if !ok {
				if len(wrong) < 10 {
					wrong = append(wrong, fmt.Errorf("hash list %q: line %d: want a SHA-256 in hex, white or black, and a note; line skipped", file, n))
				}
				return nil
			}
			if len(h.entries) >= maxHashes {
				return fmt.Errorf("more than %d hashes", maxHashes)
			}
			if note := strings.Join(f[2:], " "); note != "" && len(note) <= 200 {
				if noteIndex[note] == 0 {
					h.notes = append(h.notes, note)
					noteIndex[note] = int32(len(h.notes) - 1)
				}
				e.note = noteIndex[note]
			}
			h.entries = append(h.entries, e)
			return nil
		})
		if err != nil {
			wrong = append(wrong, err)
		}
	}
	// Black before white: who lists a hash as both is warned by the black one.
	slices.SortStableFunc(h.entries, func(a, b listed) int {
		if c := bytes.Compare(a.sum[:], b.sum[:]); c != 0 {
			return c
		}
		return int(b.colour) - int(a.colour)
	})
	return h, errors.Join(wrong...)
}

func parseListed(f []string) (e listed, ok bool) {
	if len(f) < 2 || len(f[0]) != 64 {
		return e, false
	}
	if _, err := hex.Decode(e.sum[:], []byte(f[0])); err != nil {
		return e, false
	}
	switch f[1] {
	case "white":
		e.colour = verdict.Colour_WHITE
	case "black":
		e.colour = verdict.Colour_BLACK
	default:
		return e, false
	}
	return e, true
}

// find gives the colour of a hash and its note; grey if it is not listed.
func (h *hashList) find(sum [32]byte) (verdict.Colour, string) {
	i, ok := slices.BinarySearchFunc(h.entries, sum, func(e listed, s [32]byte) int { return bytes.Compare(e.sum[:], s[:]) })
	if !ok {
		return verdict.Colour_GREY, ""
	}
	return h.entries[i].colour, h.notes[h.entries[i].note]
}
