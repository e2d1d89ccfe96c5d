// SPDX-License-Identifier: Apache-2.0

package incident

import "github.com/ringwall/ringwall/entity"

// greyKept bounds the grey findings that wait for an incident.
const greyKept = 4096

// waiting holds grey findings until an incident shares an anchor with them. The
// oldest goes when it is full.
type waiting struct {
	by    map[entity.Key][]*member
	order []*member
	keys  map[*member][]entity.Key
}

func newWaiting() waiting {
	return waiting{by: map[entity.Key][]*member{}, keys: map[*member][]entity.Key{}}
}

func (w *waiting) add(keys []entity.Key, m member) {
	if len(keys) == 0 {
		return
	}
	if len(w.order) >= 2*greyKept {
		for _, old := range w.order[:greyKept] {
			w.remove(old)
		}
		w.order = append(w.order[:0], w.order[greyKept:]...)
	}
	p := &m
	w.order = append(w.order, p)
	w.keys[p] = keys
	for _, k := range keys {
		w.by[k] = append(w.by[k], p)
	}
}

// take gives those that wait for the key, oldest first; they wait no more.
func (w *waiting) take(k entity.Key) []member {
	var out []member
	for _, m := range w.by[k] {
		if w.keys[m] != nil {
			out = append(out, *m)
		}
	}
	for _, m := range append([]*member(nil), w.by[k]...) {
		w.remove(m)
	}
	return out
}

func (w *waiting) remove(m *member) {
	for _, k := range w.keys[m] {
		list := w.by[k]
		for i, o := range list {
			if o == m {
				list = append(list[:i], list[i+1:]...)
				break
			}
		}
		if w.by[k] = list; len(list) == 0 {
			delete(w.by, k)
		}
	}
	delete(w.keys, m)
}
