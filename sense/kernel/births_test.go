// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// slow is the twin of births: every fork ever, and who has ended.
type slow struct {
	parent map[life]life
	order  []life // of birth
	ended  map[life]bool
}

// below lists who lives below top with the pid of the nearest above that lives.
func (s *slow) below(top life) (out []Descendant) {
	for _, c := range s.order {
		if s.ended[c] {
			continue
		}
		under := uint32(0)
		for p, known := s.parent[c]; known; p, known = s.parent[p] {
			if p == top || under == 0 && !s.ended[p] {
				if under == 0 {
					under = p.pid
				}
				if p == top {
					out = append(out, Descendant{c.pid, c.start, under})
					break
				}
			}
		}
	}
	return out
}

func sorted(ds []Descendant) []Descendant {
	slices.SortFunc(ds, func(a, b Descendant) int { return int(a.StartNs) - int(b.StartNs) })
	return ds
}

// TestBirths compares with the twin under random lives: alike where there is room, and
// never more than is true where there is not.
func TestBirths(t *testing.T) {
	for _, limit := range []int{1 << 20, 48} {
		r := rand.New(rand.NewPCG(7, uint64(limit)))
		b, s := newBirths(limit), &slow{map[life]life{}, nil, map[life]bool{}}
		living := []life{{1, 1}}
		for tick := uint64(2); tick < 4000; tick++ {
			if i := r.IntN(len(living)); len(living) < 100 && r.IntN(20) < 11 {
				c := life{uint32(tick % 512), tick} // pids come again
				if c.pid == 0 {
					continue
				}
				b.born(living[i], c)
				s.parent[c], s.order = living[i], append(s.order, c)
				living = append(living, c)
			} else if i > 0 {
				b.died(living[i])
				s.ended[living[i]] = true
				living = slices.Delete(living, i, i+1)
			}
			if tick%50 != 0 {
				continue
			}
			top := life{1, 1}
			if len(s.order) > 0 && r.IntN(2) == 0 {
				top = s.order[r.IntN(len(s.order))]
			}
			got := b.descendants(top)
			at := map[uint32]int{top.pid: -1}
			for i, d := range got {
				if above, told := at[d.Under]; !told || above >= i {
					t.Fatalf("%+v comes before whom it is under", d)
				}
				at[d.PID] = i
			}
			want := sorted(s.below(top))
			if got = sorted(got); limit > 4000 && !slices.Equal(got, want) {
				t.Fatalf("below %v: %v, want %v", top, got, want)
			}
			for _, d := range got {
				if !slices.ContainsFunc(want, func(w Descendant) bool { return w.PID == d.PID && w.StartNs == d.StartNs }) {
					t.Fatalf("limit %d, below %v: %+v is none of its own", limit, top, d)
				}
			}
		}
		if n, c := len(b.byLife), b.counts(); n > limit || limit == 48 && c.Lost == 0 || limit > 4000 && (c.Lost != 0 || n > 1000) {
			t.Errorf("limit %d: %d lives kept, %+v", limit, n, c)
		}
		if n := b.living.Len() + b.ended.Len(); n != len(b.byLife) {
			t.Errorf("%d lives in the lists, %d in the table", n, len(b.byLife))
		}
	}
}

// TestBirthsOfNobody: records that cannot be true make no circle.
func TestBirthsOfNobody(t *testing.T) {
	b := newBirths(64)
	one, two, three := life{11, 1}, life{12, 2}, life{13, 3}
	b.born(one, two)
	b.born(two, three)
	b.born(three, one)
	b.born(one, one)
	b.born(life{}, one)
	if got := b.descendants(one); len(got) != 2 {
		t.Errorf("%v", got)
	}
	if got := b.descendants(life{99, 9}); got != nil {
		t.Errorf("%v", got)
	}
	b.died(two)
	if got := b.descendants(one); len(got) != 1 || got[0] != (Descendant{13, 3, 11}) {
		t.Errorf("%v", got)
	}
	b.died(three)
	if len(b.byLife) != 1 {
		t.Errorf("%d lives kept of one that lives", len(b.byLife))
	}
}

// TestLineageIsCurrent: a birth is told at once, though records are read in bursts. Only a
// reader that gets no processor for a second may miss one.
func TestLineageIsCurrent(t *testing.T) {
	s, _ := start(t, nil)
	self, err := readStat("/proc", uint32(os.Getpid()))
	must(t, err)
	missed := 0
	for range 50 {
		child := exec.Command("/bin/sleep", "60")
		must(t, child.Start())
		found := s.Lineage(uint32(os.Getpid()), self.start)
		if !slices.ContainsFunc(found, func(d Descendant) bool { return d.PID == uint32(child.Process.Pid) }) {
			missed++
		}
		_ = child.Process.Kill()
		_ = child.Wait()
	}
	if missed > 10 {
		t.Errorf("%d of 50 births were not told at once", missed)
	}
}

// TestLineage: the sensor finds an orphan that shed session, group and descriptors below
// its grandparent, and not below another.
func TestLineage(t *testing.T) {
	s, _ := start(t, nil)
	mark := strconv.Itoa(600000 + os.Getpid())
	root := exec.Command("/bin/sh", "-c", "(setsid sleep "+mark+" </dev/null >/dev/null 2>&1 &) ; exec sleep "+mark+"0")
	must(t, root.Start())
	t.Cleanup(func() { _ = root.Process.Kill(); _ = root.Wait() })
	st, err := readStat("/proc", uint32(root.Process.Pid))
	must(t, err)
	var found []Descendant
	orphan := func() bool {
		found = s.Lineage(uint32(root.Process.Pid), st.start)
		if len(found) != 1 {
			return false
		}
		b, _ := os.ReadFile("/proc/" + strconv.Itoa(int(found[0].PID)) + "/cmdline")
		o, err := readStat("/proc", found[0].PID)
		return err == nil && strings.Contains(string(b), mark) && o.start == found[0].StartNs && o.ppid != uint32(root.Process.Pid)
	}
	for end := time.Now().Add(20 * time.Second); !orphan(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the lineage of %d is %v", root.Process.Pid, found)
		}
	}
	p, err := os.FindProcess(int(found[0].PID))
	must(t, err)
	defer p.Kill()
	if below := s.Lineage(found[0].PID, found[0].StartNs); len(below) != 0 {
		t.Errorf("below the orphan: %v", below)
	}
	must(t, p.Kill())
	for end := time.Now().Add(20 * time.Second); len(s.Lineage(uint32(root.Process.Pid), st.start)) > 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("a dead orphan is still told")
		}
	}
	if c := s.Stats()["lineage"]; c.Seen == 0 || c.Lost != 0 {
		t.Errorf("%+v", c)
	}
}
