// SPDX-License-Identifier: Apache-2.0

package inventory

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"

	"github.com/ringwall/ringwall/event"
)

type users struct{ stamp string }

const passwd = "/etc/passwd"

// readUsers reads /etc/passwd where it changed. Passwords are elsewhere and are not read;
// one that stands here all the same is said to be here, not shown.
func (s *Sensor) readUsers() (map[event.Inventory_Kind]map[string]item, error) {
	f, stamp, err := s.openIn(passwd)
	if errors.Is(err, fs.ErrNotExist) {
		return map[event.Inventory_Kind]map[string]item{event.Inventory_USER: {}}, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if stamp == s.users.stamp {
		return nil, nil
	}
	found, err := parsePasswd(io.LimitReader(f, 64<<20))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", passwd, err)
	}
	s.users.stamp = stamp
	return map[event.Inventory_Kind]map[string]item{event.Inventory_USER: found}, nil
}

// parsePasswd reads passwd(5). A name that stands twice is two users.
func parsePasswd(r io.Reader) (map[string]item, error) {
	found := map[string]item{}
	err := lines(r, func(l string) {
		f := strings.Split(l, ":")
		if len(f) != 7 || f[0] == "" || len(found) > maxItems {
			return
		}
		uid, err1 := strconv.ParseUint(f[2], 10, 32)
		gid, err2 := strconv.ParseUint(f[3], 10, 32)
		if err1 != nil || err2 != nil {
			return
		}
		detail := fmt.Sprintf("uid=%d gid=%d home=%s shell=%s", uid, gid, clean(f[5]), clean(f[6]))
		switch f[1] {
		case "x", "*", "!", "!!":
		case "":
			detail += " no password"
		default:
			detail += " password in passwd"
		}
		key := f[0]
		for found[key].inv != nil {
			key += "+"
		}
		found[key] = item{inv: &event.Inventory{Kind: event.Inventory_USER, Name: clean(f[0]), Detail: detail}}
	})
	return found, err
}
