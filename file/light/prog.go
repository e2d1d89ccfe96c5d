// SPDX-License-Identifier: Apache-2.0

package light

import "fmt"

type instOp uint8

const (
	inSet   instOp = iota // read a byte of sets[x], go to y
	inSplit               // go to x and to y
	inMatch
	inBegin // assertions go to x
	inEnd
	inWord
	inNoWord
)

type inst struct {
	op   instOp
	x, y int32
}

// prog is a Thompson automaton as a list of instructions; start is its entry.
type prog struct {
	insts []inst
	sets  []byteSet
	start int32
}

// maxInsts bounds one program: .{0,4000} and the like are refused rather than
// run slowly over every file.
const maxInsts = 20000

func compileNode(n *node) (*prog, error) {
	p := &prog{}
	match := p.emit(inst{op: inMatch})
	start, err := p.compile(n, match)
	if err != nil {
		return nil, err
	}
	p.start = start
	return p, nil
}

func (p *prog) emit(i inst) int32 {
	p.insts = append(p.insts, i)
	return int32(len(p.insts) - 1)
}

// compile builds n so that it continues at next, and returns its entry.
func (p *prog) compile(n *node, next int32) (int32, error) {
	if len(p.insts) > maxInsts {
		return 0, fmt.Errorf("expression needs more than %d states; shorten its repeats", maxInsts)
	}
	var err error
	switch n.op {
	case opSet:
		p.sets = append(p.sets, n.set)
		return p.emit(inst{op: inSet, x: int32(len(p.sets) - 1), y: next}), nil
	case opCat:
		for i := len(n.subs) - 1; i >= 0; i-- {
			if next, err = p.compile(n.subs[i], next); err != nil {
				return 0, err
			}
		}
		return next, nil
	case opAlt:
		entry, err := p.compile(n.subs[len(n.subs)-1], next)
		if err != nil {
			return 0, err
		}
		for i := len(n.subs) - 2; i >= 0; i-- {
			e, err := p.compile(n.subs[i], next)
			if err != nil {
				return 0, err
			}
			entry = p.emit(inst{op: inSplit, x: e, y: entry})
		}
		return entry, nil
	case opRep:
		return p.repeat(n, next)
	case opBegin:
		return p.emit(inst{op: inBegin, x: next}), nil
	case opEnd:
		return p.emit(inst{op: inEnd, x: next}), nil
	case opWord:
		return p.emit(inst{op: inWord, x: next}), nil
	default:
		return p.emit(inst{op: inNoWord, x: next}), nil
	}
}

func (p *prog) repeat(n *node, next int32) (int32, error) {
	var err error
	entry := next
	if n.max < 0 {
		loop := p.emit(inst{op: inSplit, y: next})
		body, err := p.compile(n.subs[0], loop)
		if err != nil {
			return 0, err
		}
		p.insts[loop].x = body
		entry = loop
		if n.min > 0 {
			entry = body
		}
		for i := 1; i < n.min; i++ {
			if entry, err = p.compile(n.subs[0], entry); err != nil {
				return 0, err
			}
		}
		return entry, nil
	}
	for i := n.max; i > n.min; i-- {
		body, err := p.compile(n.subs[0], entry)
		if err != nil {
			return 0, err
		}
		entry = p.emit(inst{op: inSplit, x: body, y: next})
	}
	for i := 0; i < n.min; i++ {
		if entry, err = p.compile(n.subs[0], entry); err != nil {
			return 0, err
		}
	}
	return entry, nil
}

// threads is a sparse set of program states (Briggs and Torczon 1993): clear
// and insert are O(1).
type threads struct {
	dense  []int32
	sparse []int32
}

func (t *threads) has(pc int32) bool {
	i := t.sparse[pc]
	return int(i) < len(t.dense) && t.dense[i] == pc
}

func (t *threads) add(pc int32) {
	t.sparse[pc] = int32(len(t.dense))
	t.dense = append(t.dense, pc)
}

// machine runs programs; it belongs to one goroutine. steps counts visited
// states against budget; when that is spent every run ends without a match
// and spent() is true.
type machine struct {
	now, then threads
	stack     []int32
	steps     int64
	budget    int64
}

func (m *machine) spent() bool { return m.steps > m.budget }

func (m *machine) grow(n int) {
	if len(m.now.sparse) < n {
		m.now = threads{dense: make([]int32, 0, n), sparse: make([]int32, n)}
		m.then = threads{dense: make([]int32, 0, n), sparse: make([]int32, n)}
	}
}

// enter adds pc and all that follows without reading. It reports a match.
func (m *machine) enter(p *prog, set *threads, pc int32, data []byte, pos int) bool {
	matched := false
	m.stack = append(m.stack[:0], pc)
	for len(m.stack) > 0 {
		pc := m.stack[len(m.stack)-1]
		m.stack = m.stack[:len(m.stack)-1]
		if set.has(pc) {
			continue
		}
		set.add(pc)
		m.steps++
		in := &p.insts[pc]
		switch in.op {
		case inMatch:
			matched = true
		case inSplit:
			m.stack = append(m.stack, in.y, in.x)
		case inBegin:
			if pos == 0 {
				m.stack = append(m.stack, in.x)
			}
		case inEnd:
			if pos == len(data) {
				m.stack = append(m.stack, in.x)
			}
		case inWord:
			if wordBoundary(data, pos) {
				m.stack = append(m.stack, in.x)
			}
		case inNoWord:
			if !wordBoundary(data, pos) {
				m.stack = append(m.stack, in.x)
			}
		}
	}
	return matched
}

// wordBoundary follows libyara (re.c): both ends of the data are boundaries,
// whatever stands there.
func wordBoundary(data []byte, pos int) bool {
	return pos == 0 || pos == len(data) || words.has(data[pos-1]) != words.has(data[pos])
}

// run matches p from pos and calls found with each end, nearest first, until
// found returns false. Forward reads data[pos:], backward reads down from
// data[pos-1]. At most limit bytes are read.
func (m *machine) run(p *prog, data []byte, pos int, forward bool, limit int, found func(end int) bool) {
	m.grow(len(p.insts))
	m.now.dense = m.now.dense[:0]
	if m.enter(p, &m.now, p.start, data, pos) && !found(pos) {
		return
	}
	for read := 0; read < limit && len(m.now.dense) > 0 && !m.spent(); read++ {
		var c byte
		if forward {
			if pos >= len(data) {
				return
			}
			c = data[pos]
			pos++
		} else {
			if pos == 0 {
				return
			}
			pos--
			c = data[pos]
		}
		m.then.dense = m.then.dense[:0]
		matched := false
		for _, pc := range m.now.dense {
			in := &p.insts[pc]
			if in.op == inSet && p.sets[in.x].has(c) && m.enter(p, &m.then, in.y, data, pos) {
				matched = true
			}
		}
		m.steps += int64(len(m.now.dense))
		m.now, m.then = m.then, m.now
		if matched && !found(pos) {
			return
		}
	}
}
