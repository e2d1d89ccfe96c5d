// SPDX-License-Identifier: Apache-2.0

package archive

import "slices"

// run is a closed interval of sequence numbers.
type run [2]uint64

// runs is a sorted set of disjoint, non-touching intervals. The zero value is empty.
type runs []run

// maxRuns bounds what one (host, epoch) may cost in memory: 4,096 holes of 16 bytes.
const maxRuns = 4096

// has tells whether n is in the set.
func (r runs) has(n uint64) bool {
	i, ok := slices.BinarySearchFunc(r, n, func(a run, n uint64) int {
		switch {
		case a[1] < n:
			return -1
		case a[0] > n:
			return 1
		}
		return 0
	})
	return ok && r[i][0] <= n
}

// add puts [from, to] into the set and tells how many holes were closed by force
// because the set had grown past maxRuns: events in such a hole that come later
// count as doubles, which is why the caller counts and shows it.
func (r *runs) add(from, to uint64) (forced int) {
	if from > to {
		return 0
	}
	s := *r
	// First interval that touches or follows [from, to].
	i, _ := slices.BinarySearchFunc(s, from, func(a run, n uint64) int {
		if a[1] < n && a[1]+1 < n {
			return -1
		}
		return 1
	})
	j := i
	for j < len(s) && (to == ^uint64(0) || s[j][0] <= to+1) {
		from, to = min(from, s[j][0]), max(to, s[j][1])
		j++
	}
	s = slices.Replace(s, i, j, run{from, to})
	if len(s) > maxRuns {
		forced = maxRuns / 2
		s = slices.Replace(s, 0, forced+1, run{s[0][0], s[forced][1]})
	}
	*r = s
	return forced
}

// contiguous is the end of the interval that holds 0 or 1; 0 when there is none.
func (r runs) contiguous() uint64 {
	if len(r) == 0 || r[0][0] > 1 {
		return 0
	}
	return r[0][1]
}

// coverage is what the archive knows of one spool life of one host.
//
// stored holds exactly the sequence numbers that are on disk: it decides what is a
// double. settled also holds those the sender will never send (dropped past its
// bound, or trimmed long ago): it decides the watermark.
type coverage struct {
	stored, settled runs
}
