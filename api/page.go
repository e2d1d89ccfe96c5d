// SPDX-License-Identifier: Apache-2.0

package api

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/danielgtaylor/huma/v2"
)

// place is where a row stands in a list that is made anew for every page.
type place struct {
	Key string `json:"k"` // what it is sorted by, so written that text order is its order
	ID  string `json:"i"`
}

func (p place) compare(q place) int {
	return cmp.Or(cmp.Compare(p.Key, q.Key), cmp.Compare(p.ID, q.ID))
}

// number writes a whole number that is not negative, so that text order is its order.
func number[T ~int | ~int64 | ~uint64](n T) string { return fmt.Sprintf("%020d", n) }

// window sorts a whole list and gives the page that was asked for. at tells where a row
// stands; rows with the same id must not stand in one list.
func window[T any](list []T, in ListIn, at func(T) place) (Page[T], error) {
	sign := -1
	if in.Order == "asc" {
		sign = 1
	}
	slices.SortStableFunc(list, func(a, b T) int { return sign * at(a).compare(at(b)) })
	if in.After != "" {
		var after place
		raw, err := base64.RawURLEncoding.DecodeString(in.After)
		if err == nil {
			err = json.Unmarshal(raw, &after)
		}
		if err != nil || after.ID == "" {
			return Page[T]{}, huma.Error400BadRequest(fmt.Sprintf("after: %q is no cursor of this list", in.After))
		}
		i := slices.IndexFunc(list, func(x T) bool { return sign*at(x).compare(after) > 0 })
		if i < 0 {
			i = len(list)
		}
		list = list[i:]
	}
	if len(list) <= in.Limit {
		return Page[T]{Items: some(list)}, nil
	}
	list = list[:in.Limit]
	raw, _ := json.Marshal(at(list[len(list)-1]))
	return Page[T]{Items: list, Next: base64.RawURLEncoding.EncodeToString(raw)}, nil
}
