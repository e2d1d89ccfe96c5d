// SPDX-License-Identifier: Apache-2.0

package known

import (
	"github.com/zeebo/xxh3"

	"github.com/ringwall/ringwall/verdict"
)

// statCache remembers which files on disk were white. It is bounded; when
// full it forgets whatever it meets first, which for a set of equals is as
// good as any order.
type statCache struct {
	entries               map[ID]cached
	hits, misses, evicted uint64
}

type cached struct {
	path   uint64
	sum    [32]byte
	pkg    string
	reason string
}

// entryBytes is an entry with its share of the map; 32,768 entries are 6 MB.
const (
	entryBytes = 180
	maxCached  = 32_768
)

func (c *statCache) get(path string, id ID) (Answer, [32]byte, bool) {
	e, ok := c.entries[id]
	// Another name of the same inode may belong to another package or to none.
	if !ok || e.path != xxh3.HashString(path) {
		c.misses++
		return Answer{}, [32]byte{}, false
	}
	c.hits++
	return Answer{Colour: verdict.Colour_WHITE, Package: e.pkg, Reason: e.reason}, e.sum, true
}

func (c *statCache) put(path string, id ID, a Answer, sum [32]byte) {
	if c.entries == nil {
		c.entries = map[ID]cached{}
	}
	if len(c.entries) >= maxCached {
		for k := range c.entries {
			delete(c.entries, k)
			c.evicted++
			break
		}
	}
	c.entries[id] = cached{path: xxh3.HashString(path), sum: sum, pkg: a.Package, reason: a.Reason}
}

func (c *statCache) clear() { clear(c.entries) }
