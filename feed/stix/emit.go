// SPDX-License-Identifier: Apache-2.0

package stix

import (
	"errors"
	"slices"
	"strings"

	"github.com/ringwall/ringwall/feed"
)

// emit yields what is left, with the tags that the rest of the file gave.
func (c *collector) emit(yield feed.Yield) error {
	for _, cl := range c.claims {
		var m malformed
		switch {
		case cl.revoked:
			c.rep.Skip(0, cl.item, errRevoked)
		case errors.As(cl.reason, &m):
			c.rep.Fail(0, cl.item, m.error)
		case cl.reason != nil:
			c.rep.Skip(0, cl.item, cl.reason)
		}
		if cl.revoked {
			continue
		}
		extra := c.extra(&cl)
		for _, ind := range cl.out {
			ind.Tags = feed.Tags(slices.Concat(extra, ind.Tags)...)
			c.rep.Accepted++
			if err := yield(ind); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *collector) extra(cl *claim) (tags []string) {
	for _, ref := range cl.refs {
		level := c.tlp[ref]
		if level == "" {
			level = tlpMarks[strings.TrimPrefix(ref, "marking-definition--")]
		}
		if level != "" {
			tags = append(tags, "tlp:"+level)
		}
	}
	for _, target := range c.about[cl.id] {
		if name := c.names[target]; name != "" && len(tags) < 16 {
			tags = append(tags, name)
		}
	}
	return tags
}

// The markings that need no definition in the file: STIX 2.1 §7.2.1.4 (TLP 1) and
// oasis-open/cti-stix-common-objects, extension tlp-2.0.
var tlpMarks = map[string]string{
	"613f2e26-407d-48c7-9eca-b8e91df99dc9": "white", "34098fce-860f-48ae-8e50-ebd3cc5e41da": "green",
	"f88d31f6-486f-44da-b317-01333bde0b82": "amber", "5e57c739-391a-4eb3-b6be-7d15ca92d5ed": "red",
	"94868c89-83c2-464b-929b-a1a8aa3c8487": "clear", "bab4a63c-aed9-4cf5-a766-dfca5abac2bb": "green",
	"55d920b0-5e8b-4f79-9ee9-91f868d9b421": "amber", "939a9414-2ddd-4d32-a0cd-375ea402b003": "amber+strict",
	"e828b379-4e03-4974-9ac4-e53a884c97c1": "red",
}
