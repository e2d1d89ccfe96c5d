// SPDX-License-Identifier: Apache-2.0

package reputation

import (
	"cmp"
	"hash/maphash"
	"math"
	"math/bits"
	"net/netip"
	"slices"
	"time"
	"unsafe"

	"github.com/gaissmai/bart"
)

// A snapshot is one immutable generation: all claims of all lists as 24-byte records
// sorted by a keyed 64-bit hash of kind and canonical text, found through the top bits
// of the hash (the bucketed segment of intel.md §2, in memory), and a BART table for
// real prefixes. No text is kept but tags.
//
// Two texts with one hash would answer for each other. With n records the chance for
// one look-up is n·2⁻⁶⁴ (10⁻¹³ at two million), and since the key is random in each
// process nobody can aim at it.
type snapshot struct {
	records  []record
	first    []uint32 // first[b]: index of the first record whose bucket is b or above
	shift    uint
	filter   []uint64 // bit set for the top bits of every hash; most questions end here
	mask     uint     // hash>>mask is the bit's number
	prefixes *bart.Table[[]record]
	lists    []*list
	blind    string // veto text while a hard allow-list has never been read
}

// record is one claim of one list about one value.
type record struct {
	hash    uint64
	seen    uint32 // Unix seconds, 0 unknown
	expires uint32 // Unix seconds, 0 never
	tags    uint32 // which of its list's tag sets
	conf    uint16 // 1/65535
	source  uint16 // which list
}

const (
	recordBytes = int64(unsafe.Sizeof(record{}))
	// prefixBytes: bart.Table at 70 B a prefix (intel.md §2), our slice and records twice.
	prefixBytes = 70 + 24 + 2*24 + 48
	maxLists    = math.MaxUint16 - 2 // the built-in and the own list
)

type prefixRecord struct {
	prefix netip.Prefix
	record record
}

// role of a list.
type role uint8

const (
	listing role = iota
	soft
	hard
)

// list is one loaded file. Records hold no source number yet; build gives it.
type list struct {
	name     string
	role     role
	loaded   bool
	half     time.Duration
	tags     [][]string // of an allow-list: the veto text
	records  []record   // handed to the snapshot by build, then nil
	prefixes []prefixRecord
	count    int // distinct values
	bytes    int64
}

// kinds of keys. URL keys carry no scheme: a page is what it is over either.
type keyKind uint8

const (
	addresses keyKind = iota
	domains
	urls
	hashes
	fingerprints
	keyKinds
)

type hasher [keyKinds]maphash.Seed

func newHasher() (h hasher) {
	for i := range h {
		h[i] = maphash.MakeSeed()
	}
	return h
}

func (h *hasher) text(k keyKind, s string) uint64 { return maphash.String(h[k], s) }

func (h *hasher) addr(a netip.Addr) uint64 {
	b := a.As16()
	return maphash.Bytes(h[addresses], b[:])
}

// byHash orders records; of one hash, by list, so that answers have one order.
func byHash(a, b record) int {
	return cmp.Or(cmp.Compare(a.hash, b.hash), cmp.Compare(a.source, b.source))
}

// build makes a generation from the states' lists: records of lists that were read
// anew, and of the others those of the generation before.
func (l *Library) build() *snapshot {
	old := l.now.Load()
	s := &snapshot{prefixes: new(bart.Table[[]record]), lists: make([]*list, len(l.states))}
	n, kept := 0, make([]bool, len(l.states))
	for i, st := range l.states {
		s.lists[i] = st.good
		n += len(st.good.records)
		kept[i] = old != nil && st.good.records == nil && i < len(old.lists) && old.lists[i] == st.good
		if st.good.role == hard && !st.good.loaded {
			s.blind = "soft: allow-list \"" + st.good.name + "\" could not be read"
		}
	}
	if old != nil {
		for i := range old.records {
			if kept[old.records[i].source] {
				n++
			}
		}
	}
	s.records = make([]record, 0, n)
	for i, st := range l.states {
		for _, r := range st.good.records {
			r.source = uint16(i)
			s.records = append(s.records, r)
		}
		st.good.records = nil
		for _, p := range st.good.prefixes {
			p.record.source = uint16(i)
			s.prefixes.Modify(p.prefix, func(v []record, _ bool) ([]record, bool) { return append(v, p.record), false })
		}
	}
	if old != nil {
		for _, r := range old.records {
			if kept[r.source] {
				s.records = append(s.records, r)
			}
		}
	}
	slices.SortFunc(s.records, byHash)
	s.index()
	return s
}

// index writes the bucket table, two to four records a bucket (a cache line and a half),
// and the filter, 16 to 32 bits a record: nineteen of twenty misses or more stop at one
// bit, in 2-4 bytes a record, where the record itself would be a miss of every cache.
func (s *snapshot) index() {
	b := max(bits.Len(uint(len(s.records)))-2, 1)
	s.shift = uint(64 - b)
	s.first = make([]uint32, 1<<b+1)
	at := 0
	for bucket := range 1 << b {
		s.first[bucket] = uint32(at)
		for at < len(s.records) && s.records[at].hash>>s.shift == uint64(bucket) {
			at++
		}
	}
	s.first[1<<b] = uint32(at)

	s.mask = s.shift - 6
	s.filter = make([]uint64, 1<<(64-s.mask-6))
	for i := range s.records {
		bit := s.records[i].hash >> s.mask
		s.filter[bit>>6] |= 1 << (bit & 63)
	}
}

// find returns the records with this hash.
func (s *snapshot) find(h uint64) []record {
	if bit := h >> s.mask; s.filter[bit>>6]&(1<<(bit&63)) == 0 {
		return nil
	}
	b := h >> s.shift
	bucket := s.records[s.first[b]:s.first[b+1]]
	for i := range bucket {
		if bucket[i].hash < h {
			continue
		}
		end := i
		for end < len(bucket) && bucket[end].hash == h {
			end++
		}
		return bucket[i:end]
	}
	return nil
}

// merge sorts a list's records and folds those of one value: the strongest confidence,
// the latest sighting, the latest end, all tags.
func (l *list) merge(union func(a, b uint32) uint32) {
	fold := func(into *record, r record) {
		into.conf = max(into.conf, r.conf)
		into.seen = max(into.seen, r.seen)
		if into.expires == 0 || r.expires == 0 {
			into.expires = 0
		} else {
			into.expires = max(into.expires, r.expires)
		}
		if into.tags != r.tags {
			into.tags = union(into.tags, r.tags)
		}
	}
	slices.SortFunc(l.records, byHash) // folding does not depend on order
	out := l.records[:0]
	for _, r := range l.records {
		if n := len(out); n > 0 && out[n-1].hash == r.hash {
			fold(&out[n-1], r)
			continue
		}
		out = append(out, r)
	}
	l.records = slices.Clip(out)

	at := map[netip.Prefix]int{}
	var prefixes []prefixRecord
	for _, p := range l.prefixes {
		if i, seen := at[p.prefix]; seen {
			fold(&prefixes[i].record, p.record)
			continue
		}
		at[p.prefix] = len(prefixes)
		prefixes = append(prefixes, p)
	}
	l.prefixes = prefixes
	l.count = len(l.records) + len(l.prefixes)
	l.bytes += int64(len(l.records))*recordBytes + int64(len(l.prefixes))*prefixBytes
}
